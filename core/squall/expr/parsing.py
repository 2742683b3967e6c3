"""From prepared text to Python's syntax tree, with refusals that say what to write instead.

People bring habits from other languages (`&&`, `!`, `? :`, `=`); Python's own message for them helps nobody.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING

from squall.expr.errors import ExpressionError
from squall.expr.source import MAX_DEPTH

if TYPE_CHECKING:
    from squall.expr.source import Source


def parse(source: Source) -> ast.expr:
    """Parse prepared text.

    Raises:
        ExpressionError: When it is no expression, or nested too deeply.
    """
    text = source.text.strip()
    shift = len(source.text) - len(source.text.lstrip())
    if not text:
        raise ExpressionError("the expression is empty")
    try:
        with warnings.catch_warnings():
            # Python warns of "\d" and of `1 is 1`; neither concerns the user's text.
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        # Python gives no place for text that ends too early.
        place = source.original((error.offset - 1 if error.offset else len(text)) + shift)
        raise ExpressionError(f"not an expression: {error.msg}", place, _syntax_hint(text)) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("the expression cannot be read") from None
    _check_depth(tree)
    return tree


def _syntax_hint(text: str) -> str:
    if "&&" in text or "||" in text:
        return "write 'and' and 'or'"
    if "!" in text.replace("!=", ""):
        return "write 'not'"
    if "?" in text:
        return "write 'a if condition else b'"
    if "=" in text.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", ""):
        return "'==' compares"
    return ""


def _check_depth(tree: ast.expr) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(2 * MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise ExpressionError(f"nested deeper than {2 * MAX_DEPTH} levels")
