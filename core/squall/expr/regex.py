r"""Regular expressions that cannot hold up the event loop.

Python's `re` backtracks: `(a+)+$` needs longer than the universe on thirty characters, and while it searches no
other VU moves. It knows no time limit. So a pattern is looked at before it is used, and those whose repeated parts
can match the same text in more than one way are refused, with a way out. The test is stricter than necessary: what
it lets through is free of exponential search; it also refuses some harmless patterns. Search whose time grows with
the square of the text's length remains possible (`\s+$`), so `matches` bounds the text.
"""

from __future__ import annotations

import functools
import re
import warnings
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN = 1000
"""Longest pattern, in characters."""
_MAX_OPEN = 8
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_SINGLE = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY)
_ADVICE = "repeat a single character set, or end each repetition with a character that cannot occur inside it"

_Node = tuple[Any, Any]


@functools.lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern that has been found safe to search with.

    Raises:
        ValueError: When it is no regular expression, or may take exponential time.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the pattern is longer than {MAX_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            # Python warns of `[[`, which may mean something else in its future versions.
            warnings.simplefilter("ignore")
            parsed = _parser.parse(pattern)
            compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    guard = _Guard(parsed.state)
    guard.sequence(list(parsed), repeated=False)
    return compiled


class _Guard:
    """Walks a parsed pattern and refuses ambiguous repetition."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self._open = 0

    def sequence(self, nodes: list[_Node], *, repeated: bool) -> None:
        """Check a sequence of nodes; `repeated` when it is the body of a repetition."""
        flat = list(self._flat(nodes))
        for index, node in enumerate(flat):
            operator, argument = node
            if operator in _REPEATS:
                following = flat[index + 1] if index + 1 < len(flat) else (flat[0] if repeated else None)
                self._repeat(argument, following, repeated=repeated)
            elif operator is _constants.BRANCH:
                self._branch(argument[1], repeated=repeated)
            elif operator in (_constants.ASSERT, _constants.ASSERT_NOT):
                self.sequence(list(argument[1]), repeated=repeated)
            elif operator in (_constants.GROUPREF, _constants.GROUPREF_EXISTS):
                raise ValueError("references back to a group are not allowed")

    def _flat(self, nodes: list[_Node]) -> Any:
        for operator, argument in nodes:
            if operator is _constants.SUBPATTERN:
                yield from self._flat(list(argument[3]))
            elif operator is _constants.ATOMIC_GROUP:
                yield from self._flat(list(argument))
            elif operator is not _constants.AT:
                yield operator, argument

    def _repeat(self, argument: Any, following: _Node | None, *, repeated: bool) -> None:
        low, high, body = argument
        nodes = list(self._flat(list(body)))
        single = self._chars(nodes[0]) if len(nodes) == 1 else None
        if low != high and high > 1:
            self._open += 1
            if self._open > _MAX_OPEN:
                raise ValueError(f"more than {_MAX_OPEN} repetitions of variable length")
        if low != high and repeated and not self._separated(single, following):
            raise ValueError(f"a repetition inside a repetition may take exponential time; {_ADVICE}")
        if low != high and following is not None and following[0] in _REPEATS and single is not None:
            self._neighbours(single, following)
        if single is None:
            self.sequence(nodes, repeated=repeated or high > 1)

    def _neighbours(self, single: frozenset[int], following: _Node) -> None:
        low, high, body = following[1]
        nodes = list(self._flat(list(body)))
        other = self._chars(nodes[0]) if len(nodes) == 1 else None
        if low != high and high > 1 and other is not None and single & other:
            raise ValueError(f"two repetitions side by side match the same characters; {_ADVICE}")

    def _separated(self, single: frozenset[int] | None, following: _Node | None) -> bool:
        """Whether it is always clear where a repetition of a single set inside another one ends."""
        if single is None or following is None:
            return False
        operator, argument = following
        if operator in _REPEATS and argument[0] > 0 and len(argument[2]) == 1:
            following = argument[2][0]
        after = self._chars(following)
        return after is not None and not single & after

    def _branch(self, alternatives: Any, *, repeated: bool) -> None:
        seen: frozenset[int] = frozenset()
        for alternative in alternatives:
            nodes = list(self._flat(list(alternative)))
            if repeated:
                first = self._chars(nodes[0]) if nodes else None
                if first is None or seen & first:
                    raise ValueError(
                        "alternatives inside a repetition must begin with different characters, "
                        "or the search may take exponential time"
                    )
                seen |= first
                if any(node[0] in _REPEATS and node[1][0] != node[1][1] for node in nodes):
                    raise ValueError(f"a repetition inside repeated alternatives is not allowed; {_ADVICE}")
            self.sequence(nodes, repeated=repeated)

    def _chars(self, node: _Node) -> frozenset[int] | None:
        """The characters below 256 that a node matches, or None when it is no single character set."""
        if node[0] not in _SINGLE:
            return None
        matcher = _compiler.compile(_parser.SubPattern(self._state, [node]))
        return frozenset(code for code in range(256) if matcher.fullmatch(chr(code)))
