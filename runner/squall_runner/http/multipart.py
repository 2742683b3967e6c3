"""Bodies from disk: a file as it is, or a multipart form (RFC 7578), streamed in pieces.

An upload test with thousands of VUs must not hold thousands of copies of an image in memory, so a body knows its
exact length from the files' sizes and reads the files while they are sent. Reads are plain blocking reads of 64 KiB:
the files of a load test are in the page cache, where such a read takes some ten microseconds, less than handing it to
a thread would.
"""

from __future__ import annotations

import mimetypes
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PIECE = 65536
_QUOTE = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


@dataclass(frozen=True, slots=True)
class Field:
    """A plain value of a form.

    Attributes:
        name: Name of the form field.
        value: Its value.
        content_type: MIME type, empty for plain text.
    """

    name: str
    value: str | bytes
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a form.

    Attributes:
        name: Name of the form field.
        path: File on disk.
        filename: Name told to the server; empty: the file's own.
        content_type: MIME type; empty: guessed from the name.
    """

    name: str
    path: Path
    filename: str = ""
    content_type: str = ""


class FileBody:
    """The bytes of one file.

    Raises:
        OSError: The file cannot be read (its size is taken at once).
    """

    __slots__ = ("length", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = path.stat().st_size

    def chunks(self) -> Iterator[bytes]:
        """Yields the file; see `StreamBody.chunks`."""
        yield from _read(self.path, self.length)


class Multipart:
    """A form with files, of content type `multipart/form-data`. Can be sent any number of times, also at once.

    Attributes:
        length: Exact number of bytes.
        content_type: Value for the Content-Type header, with the boundary.

    Raises:
        OSError: A file cannot be read (sizes are taken at once).
    """

    __slots__ = ("_end", "_parts", "content_type", "length")

    def __init__(self, parts: Sequence[Field | FilePart], *, boundary: str = "") -> None:
        boundary = boundary or f"squall-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._end = f"--{boundary}--\r\n".encode()
        self._parts = [(_part_head(part, boundary), *_content(part)) for part in parts]
        self.length = len(self._end) + sum(len(head) + size + 2 for head, _, size in self._parts)

    def chunks(self) -> Iterator[bytes]:
        """Yields the form; see `StreamBody.chunks`."""
        for head, content, size in self._parts:
            if isinstance(content, bytes):
                yield head + content + b"\r\n"
                continue
            yield head
            yield from _read(content, size)
            yield b"\r\n"
        yield self._end


def _content(part: Field | FilePart) -> tuple[bytes | Path, int]:
    if isinstance(part, FilePart):
        return part.path, part.path.stat().st_size
    value = part.value.encode() if isinstance(part.value, str) else part.value
    return value, len(value)


def _part_head(part: Field | FilePart, boundary: str) -> bytes:
    disposition = f'form-data; name="{part.name.translate(_QUOTE)}"'
    content_type = part.content_type
    if isinstance(part, FilePart):
        filename = part.filename or part.path.name
        disposition += f'; filename="{filename.translate(_QUOTE)}"'
        content_type = content_type or mimetypes.guess_type(filename)[0] or "application/octet-stream"
    if "\r" in content_type or "\n" in content_type:
        raise ValueError(f"content type {content_type!r} holds a line break")
    type_line = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{type_line}\r\n".encode()


def _read(path: Path, size: int) -> Iterator[bytes]:
    """Yields exactly `size` bytes of a file, the length that was announced."""
    left = size
    with path.open("rb", buffering=0) as file:
        while left:
            piece = file.read(min(_PIECE, left))
            if not piece:
                raise ValueError(f"{path.name} is shorter than when the test was prepared")
            left -= len(piece)
            yield piece
