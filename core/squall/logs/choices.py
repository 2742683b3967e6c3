"""What may be chosen about a log, and by what names: for command lines, pods and processes that load nothing else of it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Form: TypeAlias = Literal["json", "console", "auto"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
FORMS: Final[tuple[Form, ...]] = get_args(Form)
LEVEL_VARIABLE: Final = "SQUALL_LOG_LEVEL"
FORM_VARIABLE: Final = "SQUALL_LOG_FORMAT"
VARIABLES: Final = (LEVEL_VARIABLE, FORM_VARIABLE)
DEFAULT_LEVEL: Final[Level] = "info"
DEFAULT_FORM: Final[Form] = "auto"
STANDARD_ERROR: Final = "-"
"""As the place of a log."""


def level_of(*given: str | None) -> Level:
    """The first level that is given and is one, else `info`."""
    return next((level for text in given for level in LEVELS if level == text), DEFAULT_LEVEL)


def form_of(*given: str | None) -> Form:
    """The first form that is given and is one, else `auto`."""
    return next((form for text in given for form in FORMS if form == text), DEFAULT_FORM)
