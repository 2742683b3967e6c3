"""A LoadTest as a runner takes it, from who has checked it: its form alone is looked at, and no model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from squall.spec.structs import LoadTest

if TYPE_CHECKING:
    from collections.abc import Mapping


def received(manifest: Mapping[str, Any]) -> LoadTest:
    """The LoadTest, with the attributes that the models have.

    Args:
        manifest: An effective manifest, its variables resolved.

    Raises:
        ValueError: A key is unknown or missing, or a value is of the wrong type. What the models and `squall.validation` demand beyond
            that is not checked again.
    """
    try:
        return msgspec.convert(manifest, LoadTest)
    except msgspec.ValidationError as error:
        raise ValueError(f"this is no LoadTest that can run: {error}") from error
