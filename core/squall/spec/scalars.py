"""What a plain YAML scalar means: YAML 1.2's core schema, with Kubernetes' reading of numbers.

PyYAML follows YAML 1.1, in which `1:30` is the number 90, `on` is true and `2024-01-01` is a date object. In
a manifest full of durations and labels these are traps, so only what a reader takes for null, a boolean or a
number is one; everything else is text. Octals (`0644`) and underscores (`10_000`) are numbers, as they are
for kubectl.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squall.spec.tree import Scalar

_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_BASED = re.compile(r"[-+]?0(?:x([0-9a-fA-F_]+)|b([01_]+)|o?([0-7_]+))")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 40


def parse_plain(text: str) -> Scalar:
    """The value of an unquoted scalar; text when it is nothing else.

    Numbers that JSON cannot carry (`.inf`, `.nan`, `1e999`) and numbers of absurd length stay text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER or not any(c.isdigit() for c in text):
        return text
    if _DECIMAL.fullmatch(text):
        return int(text.replace("_", ""))
    if based := _BASED.fullmatch(text):
        return _based_number(text, based)
    if _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        return number if math.isfinite(number) else text
    return text


def _based_number(text: str, match: re.Match[str]) -> Scalar:
    for digits, base in zip(match.groups(), (16, 2, 8), strict=True):
        if digits is not None:
            bare = digits.replace("_", "")
            number = int(bare, base) if bare else None
            return text if number is None else -number if text.startswith("-") else number
    return text


def parse_tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with an explicit tag (`!!str 5`).

    Raises:
        ValueError: The tag is not one of str, int, float, bool and null, or the text does not fit it.
    """
    kind = tag.removeprefix("tag:yaml.org,2002:")
    if kind in ("str", "!"):
        return text
    value = parse_plain(text)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = {"int": int, "float": float, "bool": bool, "null": type(None)}
    if kind not in fits:
        raise ValueError(f"the tag {tag} means nothing here")
    if type(value) is not fits[kind]:
        raise ValueError(f"{text!r} is no {kind}")
    return value
