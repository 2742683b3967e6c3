"""Which names an expression may use at the place where it stands.

The same text means different things in a request (no response yet, secrets allowed) and in a check (a response,
no secrets, since what a check sees may reach the report). A `Scope` says it once, so that all names are resolved
when the manifest is read.

At run time names are looked up in the *environment*, a plain dict per VU:

    vu         int, unique over all shards, from 1
    iter       int, from 0, per VU
    shard      int, from 0
    scenario   str
    run        {"id": ..., "name": ...}
    var        {name: value}
    data       {feeder: {column: value}}
    ...        every extracted or set name, at the top level
    rng        random.Random, seeded per VU; the source of `random.*`, `uuid()` and `fake.*` (not readable)
    clock      callable that returns seconds since 1970; the source of `now()` (not readable)
"""

from __future__ import annotations

import dataclasses
import keyword
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Env = dict[str, Any]

RNG = "rng"
CLOCK = "clock"
BASE_NAMES = frozenset({"vu", "iter", "shard", "scenario", "run", "var", "data"})
RESPONSE_NAMES = frozenset({"status", "body", "text", "headers", "duration", "error", "cookies", "size"})
CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
NAMESPACES = frozenset({"random", "fake"})
RUN_MEMBERS = frozenset({"id", "name"})


class ResponseView(Protocol):
    """What an expression may read of a response; all members may be computed lazily.

    The name `body` in an expression is `json()`; the other names are the members of that name.
    """

    @property
    def status(self) -> int:
        """Status code; 0 when no response arrived."""

    def json(self) -> Any:
        """The body parsed as JSON; raises an exception that says why when it is not JSON."""

    @property
    def text(self) -> str:
        """The body as text."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers; the mapping ignores case."""

    @property
    def duration(self) -> float:
        """Seconds of sending, waiting and receiving."""

    @property
    def error(self) -> str:
        """Error class, such as `timeout`; empty when a response arrived."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies that the response set."""

    @property
    def size(self) -> int:
        """Bytes of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that are valid where an expression stands.

    Attributes:
        names: Roots in the environment: the base names and what was extracted or set before.
        variables: Members of `var`; None when they are not known (then any is accepted).
        data: Columns by feeder, members of `data`; None for unknown columns, or for unknown feeders.
        members: What other names hold, of those where that is known; also of their parts, as `event.args`.
        secrets: Variables whose values are secret.
        allow_secrets: Whether secrets may be used here (only inside requests).
        response: Whether there is a response to look at.
    """

    names: frozenset[str] = BASE_NAMES
    variables: frozenset[str] | None = None
    data: Mapping[str, frozenset[str] | None] | None = None
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    allow_secrets: bool = False
    response: bool = False

    def with_names(self, names: Iterable[str]) -> Scope:
        """This scope, in which `names` have been extracted or set too."""
        added = frozenset(names)
        rest = {name: held for name, held in self.members.items() if name.partition(".")[0] not in added}
        return dataclasses.replace(self, names=self.names | added, members=rest)

    def with_members(self, path: str, members: Iterable[str]) -> Scope:
        """This scope in which a name is there, and what it, or a part of it such as `event.args`, holds is known."""
        held = {**self.members, path: frozenset(members)}
        return dataclasses.replace(self, names=self.names | {path.partition(".")[0]}, members=held)

    def with_response(self) -> Scope:
        """This scope with a response, and therefore without secrets: checks, extract, until, failWhen."""
        return dataclasses.replace(self, response=True, allow_secrets=False)

    def with_secrets(self) -> Scope:
        """This scope inside a request, where secrets may be used."""
        return dataclasses.replace(self, allow_secrets=True)

    def visible(self) -> frozenset[str]:
        """All root names that may be written here."""
        return self.names | RESPONSE_NAMES if self.response else self.names


def name_problem(name: str) -> str:
    """Why `name` cannot be given to an extracted or set value; empty when it can."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return f"{name!r} cannot be used in expressions; use letters, digits and _, beginning with a letter"
    if name.startswith("__"):
        return f"{name!r} begins with two underscores"
    if name in BASE_NAMES or name in (RNG, CLOCK):
        return f"{name!r} is a name of Squall's own"
    if name in RESPONSE_NAMES:
        return f"{name!r} is a part of every response"
    if name in CONSTANTS or name in NAMESPACES:
        return f"{name!r} has a meaning in expressions"
    return ""
