"""Content codings of a body: gzip and deflate, undone with a bound.

A kilobyte of gzip can become a gigabyte of zeros. The output is therefore produced piece by piece and given up at the
limit, before the memory is spent.
"""

from __future__ import annotations

import zlib

from squall_runner.http.errors import BODY_TOO_LARGE, DECODE, BodyError

_GZIP, _ZLIB, _RAW = 31, 15, -15


def decode(data: bytes, encoding: str, limit: int) -> bytes:
    """Returns the body with its content codings undone.

    Args:
        data: The body as received.
        encoding: Value of Content-Encoding: codings in the order in which they were applied; may be empty.
        limit: Most bytes that the result, and every stage before it, may have.

    Raises:
        BodyError: The data is damaged or in a coding that is not known (`decode`), or too large
            (`body_too_large`).
    """
    for coding in reversed([name.strip().lower() for name in encoding.split(",")]):
        if coding in ("gzip", "x-gzip"):
            data = _inflate(data, _GZIP, limit)
        elif coding == "deflate":
            # RFC 9110, section 8.4.1.2: zlib format; some servers send the bare stream.
            data = _inflate(data, _ZLIB if _has_zlib_header(data) else _RAW, limit)
        elif coding not in ("", "identity"):
            raise BodyError(DECODE, f"content coding {coding!r} is not supported: ask for gzip or deflate")
    return data


def _has_zlib_header(data: bytes) -> bool:
    return len(data) >= 2 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0


def _inflate(data: bytes, window: int, limit: int) -> bytes:
    """Inflates one or more concatenated members."""
    out: list[bytes] = []
    size = 0
    while data:
        inflater = zlib.decompressobj(window)
        try:
            piece = inflater.decompress(data, limit - size + 1)
        except zlib.error as exc:
            raise BodyError(DECODE, f"the compressed body is damaged: {exc}") from exc
        size += len(piece)
        if size > limit:
            raise BodyError(BODY_TOO_LARGE, f"the decompressed body is larger than {limit} bytes")
        if not inflater.eof:
            raise BodyError(DECODE, "the compressed body ends too early")
        out.append(piece)
        # Padding behind the last member is common and harmless; only gzip may hold another member.
        data = inflater.unused_data if window == _GZIP and inflater.unused_data[:2] == b"\x1f\x8b" else b""
    return out[0] if len(out) == 1 else b"".join(out)
