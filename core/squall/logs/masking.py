"""Changing every text of a value, which is how secrets get out of it, wherever in it they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def in_each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same value, with every text in it changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: in_each_text(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [in_each_text(item, change) for item in value]
    return value
