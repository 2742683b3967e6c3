"""The ground rules every part of the API shares, so that no model can forget one.

Strict: unknown keys and wrong types are errors, never guesses. Camel case in manifests, snake case in
Python. Everything has a maximum, because a CRD with CEL rules is refused by the API server otherwise.
A scalar that may be `${var.x}` is int-or-string in the manifest; `resolve` in `squall.spec.variables`
has replaced the reference before anything computes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Callable

API_GROUP = "squall.dev"
API_VERSION: Final = "squall.dev/v1alpha1"

MAX_TEXT = 4096
"""Longest expression, URL, header or other one-line text."""
MAX_BLOB = 65536
"""Longest inline file or raw body; a whole manifest is bounded separately (128 KiB)."""

VAR_REF = r"\$\{var\.[A-Za-z_][A-Za-z0-9_]*\}"
_NUMBER = r"[0-9]+(\.[0-9]+)?"
DURATION_PATTERN = rf"^(0|({_NUMBER}(ns|us|µs|ms|s|m|h))+|{VAR_REF})$"
PERCENT_PATTERN = rf"^({_NUMBER}%|0(\.[0-9]+)?|1(\.0+)?|{VAR_REF})$"
SIZE_PATTERN = rf"^({_NUMBER}(B|KiB|MiB|GiB|KB|MB|GB)?|{VAR_REF})$"
INT_PATTERN = rf"^{VAR_REF}$"
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
LABEL_PATTERN = r"^[^{}\",:\s]([^{}\",:]*[^{}\",:\s])?$"
IDENTIFIER_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition across the fields of one object, said once for the models and once for the API server.

    Attributes:
        cel: The condition in CEL, for `x-kubernetes-validations`; `self` is the object.
        message: What a user reads when it does not hold.
        holds: The same condition in Python, given the model and the keys (as in the manifest) that are set.
        in_schema: The same condition in JSON schema, where that can say it: for editors, and for what CEL cannot see.
    """

    cel: str
    message: str
    holds: Callable[[Any, frozenset[str]], bool]
    in_schema: dict[str, Any] | None = None


def one_of(*keys: str) -> Rule:
    """The rule of a union: exactly one of the keys is given."""
    members = ", ".join(f"has(self.{cel_name(key)})" for key in keys)
    return Rule(
        f"[{members}].filter(given, given).size() == 1",
        f"needs exactly one of {', '.join(keys)}",
        lambda _, given: len(given.intersection(keys)) == 1,
        {"oneOf": [{"required": [key]} for key in keys]},
    )


def at_most_one_of(*keys: str) -> Rule:
    """The rule of alternatives that may all be left out."""
    members = ", ".join(f"has(self.{cel_name(key)})" for key in keys)
    return Rule(
        f"[{members}].filter(given, given).size() <= 1",
        f"takes at most one of {', '.join(keys)}",
        lambda _, given: len(given.intersection(keys)) <= 1,
        {"not": {"anyOf": [{"required": list(pair)} for pair in combinations(keys, 2)]}},
    )


def together(one: str, other: str) -> Rule:
    """The rule of two keys that mean something only beside each other."""
    either = {"anyOf": [{"required": [one]}, {"required": [other]}]}
    return Rule(
        f"has(self.{cel_name(one)}) == has(self.{cel_name(other)})",
        f"needs {one} and {other} together, or neither",
        lambda _, given: (one in given) == (other in given),
        {"anyOf": [{"required": [one, other]}, {"not": either}]},
    )


_CEL_RESERVED = frozenset(
    {"if", "else", "for", "while", "in", "as", "break", "const", "continue", "function", "import"}
)


def cel_name(key: str) -> str:
    """A key as CEL writes it: reserved words are escaped as Kubernetes prescribes."""
    return f"__{key}__" if key in _CEL_RESERVED else key


class Nullable:
    """Marks a key for which null is a value like any other, and not the same as leaving it out."""


class Model(BaseModel):
    """Base of every API object: strict, camel-cased, immutable.

    Attributes:
        rules: Conditions across fields. The model enforces them here and the API server by CEL, so that a
            manifest means the same on a laptop and on a cluster.
        named_list: Items of this kind are told apart by `name` wherever they stand in a list: no two may
            share one, and variants and server-side apply merge them by it.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        serialize_by_alias=True,
        defer_build=True,  # only what is used is built, once, and not each nested model for itself
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    named_list: ClassVar[bool] = False

    def model_post_init(self, context: Any, /) -> None:
        """Refuse an object that breaks one of its rules, naming all that are broken."""
        del context
        given = self.given_keys()
        broken = [rule.message for rule in self.rules if not rule.holds(self, given)]
        if broken:
            raise ValueError("; ".join(broken))

    def given_keys(self) -> frozenset[str]:
        """The keys, as the manifest writes them, that have a value."""
        fields = type(self).model_fields
        return frozenset(
            fields[name].alias or name for name in self.model_fields_set if getattr(self, name) is not None
        )


Name = Annotated[str, Field(min_length=1, max_length=63, pattern=NAME_PATTERN)]
"""A name that other parts of the manifest refer to."""
Label = Annotated[str, Field(min_length=1, max_length=80, pattern=LABEL_PATTERN)]
"""A name that becomes a tag value: anything readable, without the characters selectors need."""
Identifier = Annotated[str, Field(min_length=1, max_length=63, pattern=IDENTIFIER_PATTERN)]
"""A name used inside `${...}` or as a metric name."""
Duration = Annotated[str, Field(min_length=1, max_length=64, pattern=DURATION_PATTERN)]
"""A Go-style duration: `500ms`, `1m30s`, `2h`."""
Percent = Annotated[int, Field(ge=0, le=1)] | Annotated[str, Field(max_length=64, pattern=PERCENT_PATTERN)]
"""A share: `5%` or `0.05`. A bare `5` is none: it would mean 500 %, which nobody wants."""
Size = Annotated[int, Field(ge=0, le=2**53 - 1)] | Annotated[str, Field(max_length=64, pattern=SIZE_PATTERN)]
"""A number of bytes: `10KiB`, `2MB`, `512`."""
Text = Annotated[str, Field(max_length=MAX_TEXT)]
"""A one-line text; where the field says so it may hold `${...}`."""
Expression = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
"""A safe expression, see the expression reference."""
VarRef = Annotated[str, Field(max_length=128, pattern=INT_PATTERN)]
PositiveInt = Annotated[int, Field(ge=1, le=2**53 - 1)] | VarRef
"""A whole number from 1, or `${var.x}`."""
Count = Annotated[int, Field(ge=0, le=2**53 - 1)] | VarRef
"""A whole number from 0, or `${var.x}`."""
