"""Where a manifest's files lie on this machine: what runners are given of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from squall.spec.files import LocalFile


def laid_out(files: Mapping[str, LocalFile], folder: Path) -> dict[str, str]:
    """Where each file lies; inline ones are written into a folder, which is made when it is needed.

    Raises:
        UsageError: One cannot be written.
    """
    places = {}
    for name, file in files.items():
        if file.path is not None:
            places[name] = str(file.path.resolve())
            continue
        place = folder / name
        try:
            folder.mkdir(exist_ok=True)
            place.write_bytes(file.read())
        except OSError as error:
            raise UsageError(f"{place} cannot be written: {error.strerror}") from error
        places[name] = str(place)
    return places
