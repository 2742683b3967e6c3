"""pydantic's errors in the words of whoever wrote the manifest.

"Input should be a valid string" at `constrained-str` helps nobody who wrote `duration: 10`. Each function
here takes what was written and what may stand there, and says what is wrong and what to write.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from squall.spec.base import (
    DURATION_PATTERN,
    IDENTIFIER_PATTERN,
    INT_PATTERN,
    LABEL_PATTERN,
    NAME_PATTERN,
)
from squall.spec.problems import did_you_mean, one_of

if TYPE_CHECKING:
    from squall.spec.shape import Shape

Words = tuple[str, str]
"""Message and hint."""

DURATION_HINT = "write for example 500ms, 30s, 1m30s or 2h"
PERCENT_HINT = 'write for example 5% or "0.05"'
SIZE_HINT = "write for example 512, 10KiB or 2MB"
_LONGEST_SHOWN = 60
_YES_NO = {"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false"}
_TOO_LONG = ("string_too_long", "too_long", "bytes_too_long")

# Format -> message after the value, hint.
_FORMATS: dict[str, Words] = {
    NAME_PATTERN: (
        "is not a name",
        "use letters from a to z, digits, - _ and . ; begin and end with a letter or digit",
    ),
    IDENTIFIER_PATTERN: (
        "is not an identifier",
        "use letters from a to z, digits and _, beginning with a letter",
    ),
    LABEL_PATTERN: ("holds a character that selectors need", 'leave out { } " , : and spaces at the ends'),
    "^[A-Z]+$": ("is not an HTTP method", "write it in capitals: GET, POST, PUT, PATCH, DELETE"),
    "^[0-9]{3}(-[0-9]{3})?$": ("is not a status", 'write "200" or "200-299", in quotes'),
    "^[A-Za-z_][A-Za-z0-9_]*$": ("is not a valid name here", "use letters, digits and _, a letter first"),
    r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$": (
        "does not name shards",
        "write 1-10, or 1-5,11; counted from 1",
    ),
    r"^(@[a-z]+|\S+(\s+\S+){4})$": (
        "is not a cron expression",
        'write "0 2 * * *" (minute hour day month weekday)',
    ),
}


def show(value: Any) -> str:
    """A value as it reads in a message: `"abc"`, `5`, `a list`."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if len(str(value)) <= _LONGEST_SHOWN else str(value)[: _LONGEST_SHOWN - 3] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def unknown_key(key: str, valid: tuple[str, ...]) -> Words:
    """A key that does not exist at its place."""
    return f'unknown key "{key}"{did_you_mean(key, valid)}', one_of(valid)


def missing_key(key: str, description: str) -> Words:
    """A required key that is not there."""
    return f'"{key}" is missing', f"{key}: {_first_sentence(description)}" if description else f"add {key}"


def wrong_value(errors: list[dict[str, Any]], value: Any, shape: Shape | None) -> Words:
    """What is wrong with a value, out of all the errors pydantic has for it.

    A union (`int | ${var.x}`) gives one error per member; the one that fits the kind of value given says most.
    """
    kinds = {error["type"] for error in errors}
    if shape is not None:
        if value is None:
            return "has no value", "give it one, or leave the key out"
        formatted = _wrong_format(value, shape, kinds)
        if formatted:
            return formatted
    return _by_kind(_most_telling(errors, value), value, shape)


def _wrong_format(value: Any, shape: Shape, kinds: set[str]) -> Words | None:
    scalar = isinstance(value, str | int | float) and not isinstance(value, bool)
    if not scalar:
        return None
    if shape.is_duration and kinds & {"string_type", "string_pattern_mismatch"}:
        if isinstance(value, str) and not value.strip().lstrip("+-").replace(".", "", 1).isdigit():
            return f"{show(value)} is not a duration", DURATION_HINT
        return (
            f"{show(value)} is not a duration: the unit is missing",
            f"write {str(value).strip()}s, or {value}ms",
        )
    if shape.is_percent:
        return _not_a_share(value)
    if shape.is_size:
        return f"{show(value)} is not a size", SIZE_HINT
    return None


def _not_a_share(value: str | float) -> Words:
    if isinstance(value, str):
        return f"{show(value)} is not a share", PERCENT_HINT
    if value > 1:
        message = f"{value} is not a share: as a plain number it would be {value * 100:g}%"
        return message, f'write "{value}%" when that is meant'
    return (
        f"{value} is not a share that can stand here without quotes",
        f'write "{value}", or {value * 100:g}%',
    )


def _most_telling(errors: list[dict[str, Any]], value: Any) -> dict[str, Any]:
    for error in errors:
        expects_text = error["type"].startswith("string")
        mine = expects_text == isinstance(value, str) and error.get("ctx", {}).get("pattern") != INT_PATTERN
        if mine and not (expects_text and error["type"] == "string_type"):
            return error
    return errors[0]


def _by_kind(error: dict[str, Any], value: Any, shape: Shape | None) -> Words:
    kind, context = error["type"], error.get("ctx") or {}
    return (
        _wrong_text(kind, context, value)
        or _other_kind(kind, value, shape)
        or _bounds(kind, context, value)
        or (str(error["msg"]), "")
    )


def _wrong_text(kind: str, context: dict[str, Any], value: Any) -> Words | None:
    if kind == "literal_error":
        return _not_a_choice(value, str(context.get("expected", "")))
    if kind == "string_pattern_mismatch":
        return _mismatch(value, str(context.get("pattern", "")))
    return None


def _not_a_choice(value: Any, expected: str) -> Words:
    choices = re.findall(r"'([^']*)'", expected)
    guess = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"{show(value)} is not possible here{guess}", one_of(choices, "possible")


def _mismatch(value: Any, pattern: str) -> Words:
    if pattern == INT_PATTERN:
        return f"{show(value)} is not a whole number", "write a whole number without quotes, or ${var.name}"
    said, hint = _FORMATS.get(pattern, ("does not have the form that is needed here", f"the form: {pattern}"))
    return f"{show(value)} {said}", hint


def _other_kind(kind: str, value: Any, shape: Shape | None) -> Words | None:
    if kind in ("int_type", "int_parsing", "int_from_float", "float_type"):
        hint = "write a whole number without quotes" if isinstance(value, str) else "write a whole number"
        return f"{show(value)} is not a whole number", hint
    if kind == "bool_type":
        meant = _YES_NO.get(str(value).lower())
        return f"{show(value)} is neither true nor false", f"write {meant or 'true or false'}"
    if kind == "string_type":
        quotable = not isinstance(value, dict | list)
        return (
            f"needs text, but has {show(value)}",
            f'put it in quotes: "{show(value)}"' if quotable else "write text",
        )
    if kind in ("list_type", "tuple_type"):
        return f"needs a list, but has {show(value)}", 'begin each item in a line of its own with "- "'
    if kind in ("dict_type", "model_type", "model_attributes_type", "mapping_type"):
        return f"needs a mapping (key: value), but has {show(value)}", _mapping_hint(value, shape)
    return None


def _mapping_hint(value: Any, shape: Shape | None) -> str:
    """What to write: the key that a lone text was meant for, where that can be told, or all there are."""
    keys = shape.keys if shape else {}
    if isinstance(value, str) and "duration" in keys and re.fullmatch(DURATION_PATTERN, value):
        return f"write {{duration: {value}}}"
    if isinstance(value, str) and "url" in keys:
        return f"write {{url: {show(value)}}}"
    return one_of(tuple(keys))


def _bounds(kind: str, context: dict[str, Any], value: Any) -> Words | None:
    if kind in ("greater_than_equal", "greater_than"):
        return f"{show(value)} is too small", f"the least is {context.get('ge', context.get('gt'))}"
    if kind in ("less_than_equal", "less_than"):
        return f"{show(value)} is too large", f"the most is {context.get('le', context.get('lt'))}"
    if kind in ("string_too_short", "too_short"):
        least = context.get("min_length", 1)
        return ("is empty", f"at least {least} is needed") if not value else (f"is shorter than {least}", "")
    if kind in _TOO_LONG:
        return f"is too long ({len(value)})", f"at most {context.get('max_length')} are possible"
    if kind == "value_error":
        return str(context.get("error", "")), ""
    return None


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.;])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".;")
