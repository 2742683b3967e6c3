"""Operators with bounds: no expression may eat the machine that drives the load.

Python's own `**`, `*`, `<<` and `+` can build values of any size from a few characters, and a value can be doubled
in every iteration by a `set` step. Each helper therefore refuses operands it has no meaning for and results beyond
a fixed size. Plain comparisons and boolean operators need no helper: their results cannot grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from squall.expr.errors import EvaluationError, nearest

MAX_TEXT = 1 << 20
"""Longest text that an expression may build, in characters (1 MiB of ASCII)."""
MAX_WEIGHT = 1 << 20
"""Largest list or mapping that an expression may build: its values plus the characters of its texts."""
MAX_DEPTH = 500
"""How deep lists and mappings that an expression builds may be nested: the stack has room for whatever walks through them."""
MAX_BITS = 4096
"""Largest integer, in bits."""
_MAX_INT = 1 << MAX_BITS

_NUMBER = (int, float)
_SCALARS = (int, float, type(None))
_WORDS = {"str": "text", "dict": "mapping", "NoneType": "null", "float": "number", "int": "number"}


def type_word(value: Any) -> str:
    """What a user calls the type of `value`."""
    name = type(value).__name__
    return _WORDS.get(name, "mapping" if isinstance(value, Mapping) else name)


def _refuse(operator: str, left: Any, right: Any) -> EvaluationError:
    return EvaluationError(
        f"'{operator}' has no meaning between {type_word(left)} and {type_word(right)}",
        "convert with int(), float() or str()",
    )


def bounded_int(value: int) -> int:
    """`value`, unless it needs more than MAX_BITS bits."""
    if -_MAX_INT < value < _MAX_INT:
        return value
    raise EvaluationError(f"the number is larger than {MAX_BITS} bits")


def too_long() -> EvaluationError:
    """The error for a text beyond MAX_TEXT."""
    return EvaluationError(f"the text is longer than {MAX_TEXT} characters")


def bounded_text(value: str) -> str:
    """`value`, unless it is longer than MAX_TEXT."""
    if len(value) > MAX_TEXT:
        raise too_long()
    return value


def bounded_value(value: Any) -> Any:
    """`value`, unless it is a list or mapping that weighs more than MAX_WEIGHT when written out, or is nested too deeply.

    A list that holds another one many times weighs as much as its text would, so that values doubled over and
    over are found before something walks through them.
    """
    budget = MAX_WEIGHT
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for item in level:
            budget -= 1
            if isinstance(item, str):
                budget -= len(item)
            elif isinstance(item, (list, tuple)):
                budget -= len(item)
                if budget > 0:
                    deeper.extend(item)
            elif isinstance(item, dict) or (not isinstance(item, _SCALARS) and isinstance(item, Mapping)):
                budget -= len(item)
                if budget > 0:
                    deeper.extend(item)
                    deeper.extend(item.values())
            if budget < 0:
                raise EvaluationError(f"the value is larger than {MAX_WEIGHT} characters when written out")
        if not deeper:
            return value
        level = deeper
    raise EvaluationError(f"the value is nested deeper than {MAX_DEPTH} levels")


def add(left: Any, right: Any) -> Any:
    """Sum of numbers, or two texts or two lists joined."""
    if isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > MAX_TEXT:
            raise too_long()
        return left + right
    if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
        total = left + right
        return bounded_int(total) if type(total) is int else total
    if isinstance(left, list) and isinstance(right, list):
        return bounded_value(left + right)
    raise _refuse("+", left, right)


def sub(left: Any, right: Any) -> Any:
    """Difference of numbers."""
    if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
        difference = left - right
        return bounded_int(difference) if type(difference) is int else difference
    raise _refuse("-", left, right)


def mul(left: Any, right: Any) -> Any:
    """Product of numbers, or a text repeated."""
    if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
        product = left * right
        return bounded_int(product) if type(product) is int else product
    if isinstance(left, int) and isinstance(right, str):
        left, right = right, left
    if isinstance(left, str) and isinstance(right, int):
        if len(left) * right > MAX_TEXT:
            raise too_long()
        return left * right
    raise _refuse("*", left, right)


def div(left: Any, right: Any) -> Any:
    """Quotient of numbers."""
    if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
        return left / right
    raise _refuse("/", left, right)


def floordiv(left: Any, right: Any) -> Any:
    """Quotient of numbers, rounded down."""
    if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
        return left // right
    raise _refuse("//", left, right)


def mod(left: Any, right: Any) -> Any:
    """Remainder of numbers; texts are not formatted with `%`."""
    if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
        return left % right
    raise _refuse("%", left, right)


def power(left: Any, right: Any) -> Any:
    """`left ** right` for real numbers, as long as the result stays within MAX_BITS."""
    if not (isinstance(left, _NUMBER) and isinstance(right, _NUMBER)):
        raise _refuse("**", left, right)
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > MAX_BITS:
        raise EvaluationError(f"the power is larger than {MAX_BITS} bits")
    result = left**right
    if isinstance(result, complex):
        raise EvaluationError("a negative number has no power with a fraction")
    return result


def shift_left(left: Any, right: Any) -> Any:
    """`left << right` for integers, within MAX_BITS."""
    if not (isinstance(left, int) and isinstance(right, int)):
        raise _refuse("<<", left, right)
    if left.bit_length() + right > MAX_BITS:
        raise EvaluationError(f"the number is larger than {MAX_BITS} bits")
    return left << right


def shift_right(left: Any, right: Any) -> Any:
    """`left >> right` for integers."""
    if isinstance(left, int) and isinstance(right, int):
        return left >> right
    raise _refuse(">>", left, right)


def bit_and(left: Any, right: Any) -> Any:
    """`left & right` for integers."""
    if isinstance(left, int) and isinstance(right, int):
        return left & right
    raise _refuse("&", left, right)


def bit_or(left: Any, right: Any) -> Any:
    """`left | right` for integers."""
    if isinstance(left, int) and isinstance(right, int):
        return left | right
    raise _refuse("|", left, right)


def bit_xor(left: Any, right: Any) -> Any:
    """`left ^ right` for integers."""
    if isinstance(left, int) and isinstance(right, int):
        return left ^ right
    raise _refuse("^", left, right)


def member(container: Any, key: str, path: str) -> Any:
    """`container.key` of a mapping; `path` is the source text of the whole access, for the error."""
    try:
        if type(container) is dict or isinstance(container, Mapping):
            return container[key]
    except KeyError:
        known = nearest(key, [name for name in list(container)[:200] if isinstance(name, str)])
        raise EvaluationError(f"{path}: there is no {key!r}", known) from None
    raise EvaluationError(f"{path}: {type_word(container)} has no members")


def item(container: Any, key: Any, path: str) -> Any:
    """`container[key]` of a mapping, list or text."""
    if isinstance(container, Mapping):
        try:
            return container[key]
        except KeyError:
            raise EvaluationError(f"{path}: there is no {key!r}") from None
    if isinstance(container, (list, tuple, str)) and isinstance(key, int):
        try:
            return container[key]
        except IndexError:
            raise EvaluationError(f"{path}: there are only {len(container)} items") from None
    raise EvaluationError(f"{path}: {type_word(container)} has no item {key!r}")


def slice_of(container: Any, start: Any, stop: Any, step: Any, path: str) -> Any:
    """`container[start:stop:step]` of a list or text."""
    if isinstance(container, (list, tuple, str)):
        return container[start:stop:step]
    raise EvaluationError(f"{path}: {type_word(container)} cannot be sliced")


def to_json_text(value: Any) -> str:
    """`value` as compact JSON; integers of any size keep all their digits.

    Raises:
        EvaluationError: For what JSON cannot hold (text that is no valid Unicode, foreign objects).
    """
    if type(value) is int:
        return str(value)
    try:
        plain = value if type(value) is str else bounded_value(value)
        return msgspec.json.encode(plain, enc_hook=_foreign).decode()
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"cannot be written as JSON: {error}") from None


def _foreign(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type_word(value)} is not a JSON value")


def to_text(value: Any) -> str:
    """The text that stands for `value` in a template: texts as they are, all else as JSON writes it."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return str(value)
    if kind is float:
        return repr(value)
    return to_json_text(value)
