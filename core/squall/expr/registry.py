"""The functions that an expression may call: one list, from which calls are resolved and the reference is written.

Adding a function means writing it in one of the modules of `squall.expr.functions` under the decorator below,
nothing else. A function takes plain data and returns plain data of bounded size; it raises ValueError, TypeError or
EvaluationError, which become the expression's error.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from squall.expr.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["int", "str", "any"]
"""What is known of a value when the expression is compiled; `any` when nothing is."""

_F = TypeVar("_F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the expression language.

    Attributes:
        name: As written in expressions, with its namespace if it has one (`random.int`).
        doc: One line for the reference.
        call: The implementation; takes the environment's part named by `context` first, if any.
        kind: What it always returns.
        context: Key in the environment whose value is passed first (`rng`, `clock`); empty for a pure function.
        literal: Parameters that must be written as constants, since they are checked when compiling.
        check: Called with the constants of `literal` when compiling; raises ValueError saying what is wrong.
        fold: Whether calls with constant arguments may be computed when compiling.
        library: Loads the library behind it, if that takes long; raises EvaluationError when it is not installed.
    """

    name: str
    doc: str
    call: Callable[..., Any]
    kind: Kind
    context: str
    literal: tuple[str, ...]
    check: Callable[..., Any] | None
    fold: bool
    library: Callable[[], object] | None

    @property
    def usage(self) -> str:
        """How it is called, such as `random.int(low, high)`."""
        shown = []
        for parameter in self.parameters():
            default = parameter.default
            if parameter.kind is parameter.VAR_POSITIONAL:
                shown.append(f"{parameter.name}...")
            elif default is parameter.empty:
                shown.append(parameter.name)
            else:
                shown.append(f"{parameter.name}={'null' if default is None else repr(default)}")
        return f"{self.name}({', '.join(shown)})"

    def parameters(self) -> list[inspect.Parameter]:
        """Parameters as the user sees them."""
        return list(inspect.signature(self.call).parameters.values())[1 if self.context else 0 :]

    def bind(self, positional: list[Any], named: dict[str, Any]) -> dict[str, Any]:
        """Arguments by parameter name.

        Raises:
            TypeError: When they do not fit the parameters.
        """
        return dict(inspect.Signature(self.parameters()).bind(*positional, **named).arguments)


@dataclass(frozen=True, slots=True)
class FunctionDoc:
    """A row of the function reference."""

    name: str
    usage: str
    doc: str


FUNCTIONS: dict[str, Function] = {}
_libraries: set[Callable[[], object]] = set()


def function(
    name: str,
    doc: str,
    *,
    kind: Kind = "any",
    context: str = "",
    literal: tuple[str, ...] = (),
    check: Callable[..., Any] | None = None,
    fold: bool = True,
    library: Callable[[], object] | None = None,
) -> Callable[[_F], _F]:
    """Register the decorated function under `name`; the parameters are `Function`'s attributes."""

    def register(call: _F) -> _F:
        FUNCTIONS[name] = Function(
            name, doc, call, kind, context, literal, check, fold and not context, library
        )
        return call

    return register


def note_use(known: Function) -> None:
    """Remember that an expression of this process calls `known`, for load_libraries."""
    if known.library is not None:
        _libraries.add(known.library)


def load_libraries() -> None:
    """Load the libraries behind the functions that this process's expressions call.

    To be called when all is compiled and before the load starts: the first use would hold up the event loop for
    a tenth of a second or more.

    Raises:
        EvaluationError: When a library is not installed; the hint says which to install.
    """
    while _libraries:
        _libraries.pop()()


def check_literals(known: Function, arguments: dict[str, Any]) -> None:
    """Check the constants among a call's arguments.

    Args:
        known: The function that is called.
        arguments: Values of the parameters named in `literal`, as far as they were given.

    Raises:
        ExpressionError: When the function's own check refuses them.
    """
    if known.check is not None:
        try:
            known.check(**arguments)
        except (ValueError, TypeError) as error:
            raise ExpressionError(f"{known.name}: {error}") from None


def catalogue() -> list[FunctionDoc]:
    """All functions with their one-line docs, in the order in which the reference lists them."""
    return [FunctionDoc(known.name, known.usage, known.doc) for known in FUNCTIONS.values()]
