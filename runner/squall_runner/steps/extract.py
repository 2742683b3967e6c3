"""Taking values out of responses: compiled when the run starts, strict when it runs.

A token that is silently missing makes every later request fail for a reason nobody sees. So what is not found is an
error that names the path and shows what came instead, unless the manifest gives a default. Plain paths such as
`$.data[0].id` are the rule; they become direct lookups, only the others go through the JSONPath library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from squall.errors import SquallError
from squall.expr import ExpressionError, compile_pattern
from squall_runner.http import BodyError
from squall_runner.steps.failure import EXTRACT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SHOWN: Final = 200
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|\['([^'\\]*)'\]|\[\"([^\"\\]*)\"\]")

MISSING: Final = object()
"""Stands for a value that is not there; null is a value."""


class Source(Protocol):
    """What is read of a response."""

    @property
    def text(self) -> str:
        """The body as text."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies that the response sets."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields; the mapping ignores case."""

    def json(self) -> Any:
        """The body parsed as JSON; raises ValueError when it is not JSON."""


class ExtractionError(SquallError):
    """A response does not hold what a step wants to take out of it.

    Args:
        message: What was looked for.
        hint: What came instead.
        error: The class of the failure: `extract`, or that of a body that cannot be read at all.
    """

    def __init__(self, message: str, hint: str, error: str = EXTRACT) -> None:
        super().__init__(message, hint)
        self.error = error


@dataclass(frozen=True, slots=True)
class Extractor:
    """Takes one value out of a response.

    Attributes:
        name: The name that the value gets.
        source: What is looked for, such as `jsonPath $.token`.
        find: Returns the value or MISSING; raises ValueError saying why there is nothing to look into.
        shown: Says what came instead. Only what looks into the body may ask for it: otherwise it was not kept.
        default: What to take when nothing is found; MISSING makes that an error.
    """

    name: str
    source: str
    find: Callable[[Source], Any]
    shown: Callable[[Source], str]
    default: Any = MISSING

    def __call__(self, response: Source) -> Any:
        """The value.

        Raises:
            ExtractionError: When there is none and no default.
        """
        reason, kind = "nothing found", EXTRACT
        try:
            value = self.find(response)
        except BodyError as error:
            value, reason, kind = MISSING, error.message, error.error
        except ValueError as error:
            value, reason = MISSING, str(error)
        if value is not MISSING:
            return value
        if self.default is not MISSING:
            return self.default
        raise ExtractionError(f"extract {self.name}: {self.source}: {reason}", self.shown(response), kind)


def compile_extractor(
    name: str,
    *,
    json_path: str | None = None,
    header: str | None = None,
    regex: str | None = None,
    cookie: str | None = None,
    default: Any = MISSING,
    all_matches: bool = False,
) -> Extractor:
    """Compile an entry of a step's `extract`; exactly one of the four places must be given.

    Args:
        name: The name that the value gets.
        json_path: JSONPath (RFC 9535) into the JSON body.
        header: Name of a header field, in any case.
        regex: Regular expression over the body; its first group, or the whole match without one.
        cookie: Name of a cookie that the response sets.
        default: What to take when nothing is found; MISSING makes that an error.
        all_matches: With `json_path` and `regex`: a list of all matches; none at all is still "nothing found".

    Raises:
        ExpressionError: When the path or the pattern is malformed, or the pattern could take exponential time.
    """
    if json_path is not None:
        find = _json_path(json_path, all_matches=all_matches)
        return Extractor(name, f"jsonPath {json_path}", find, _body, default)
    if regex is not None:
        return Extractor(name, f"regex {regex}", _regex(regex, all_matches=all_matches), _body, default)
    if header is not None:
        return Extractor(
            name,
            f"header {header}",
            lambda response: response.headers.get(header, MISSING),
            _headers,
            default,
        )
    if cookie is not None:
        return Extractor(
            name,
            f"cookie {cookie}",
            lambda response: response.cookies.get(cookie, MISSING),
            _cookies,
            default,
        )
    raise ExpressionError(
        f"extract {name}: there is no place to look in", 0, "jsonPath, header, regex or cookie"
    )


def _json_path(path: str, *, all_matches: bool) -> Callable[[Source], Any]:
    steps = _plain_steps(path)
    if steps is not None and not all_matches:
        return lambda response: _walk(response.json(), steps)
    advice = "a path begins with $, as in $.data[0].id"
    # The library would add a missing `$`; RFC 9535 does not.
    if not path.startswith("$"):
        raise ExpressionError(f"{path!r} is not a JSONPath", 0, advice)
    import jsonpath  # noqa: PLC0415 - takes as long to load as the engine, and most paths do without

    try:
        compiled = jsonpath.compile(path)
    except jsonpath.JSONPathError as error:
        raise ExpressionError(f"not a JSONPath: {str(error).splitlines()[0]}", 0, advice) from None

    def find(response: Source) -> Any:
        body = response.json()
        # The library takes a text for a document still to be parsed.
        if not isinstance(body, (dict, list)):
            return MISSING
        try:
            found = compiled.findall(body)
        except jsonpath.JSONPathError as error:
            raise ValueError(str(error).splitlines()[0]) from None
        if not found:
            return MISSING
        return found if all_matches else found[0]

    return find


def _plain_steps(path: str) -> tuple[str | int, ...] | None:
    """Keys and indexes of a path that holds nothing else; None for the others."""
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return None
        name, index, single, double = step.groups()
        steps.append(
            int(index) if index is not None else next(k for k in (name, single, double) if k is not None)
        )
        at = step.end()
    return tuple(steps)


def _walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if type(step) is str:
            if type(value) is not dict or step not in value:
                return MISSING
        elif type(value) is not list or step >= len(value):  # type: ignore[operator]  # an int: no str is left
            return MISSING
        value = value[step]
    return value


def _regex(pattern: str, *, all_matches: bool) -> Callable[[Source], Any]:
    try:
        compiled = compile_pattern(pattern)
    except ValueError as error:
        raise ExpressionError(str(error)) from None
    group = min(compiled.groups, 1)

    def first(response: Source) -> Any:
        match = compiled.search(response.text)
        found = match and match.group(group)
        return MISSING if found is None else found

    def every(response: Source) -> Any:
        return [match.group(group) for match in compiled.finditer(response.text)] or MISSING

    return every if all_matches else first


def _body(response: Source) -> str:
    try:
        text = response.text
    except ValueError:
        return "the body is unreadable"
    return f"the body is {_cut(text) if text.strip() else 'empty'}"


def _headers(response: Source) -> str:
    return f"the response has {_cut(', '.join(response.headers)) or 'no headers'}"


def _cookies(response: Source) -> str:
    return f"the response sets {_cut(', '.join(response.cookies)) or 'no cookies'}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
