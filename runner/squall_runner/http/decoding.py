"""From the bytes of a body to what was meant: content codings and charsets, with bounds.

A kilobyte of gzip can become a gigabyte of zeros. The output is therefore produced piece by piece and given up at the
limit, before the memory is spent. Time is bounded as well, as nobody else runs meanwhile: by the number of codings and
members, and by leaving out charsets whose decoders take more than linear time.
"""

from __future__ import annotations

import zlib
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

from squall_runner.http.errors import BODY_TOO_LARGE, DECODE, BodyError

_GZIP, _ZLIB, _RAW = 31, 15, -15
_MAX_CODINGS: Final = 5
_MAX_MEMBERS: Final = 1000
# What is behind the end of a member is copied once for each of them.
_BLOCK: Final = 65536
# Python knows more, such as punycode and unicode_escape, but no server means those. It also remembers for good every
# name that it was asked for in vain.
_CHARSETS: Final = frozenset({*aliases, *aliases.values(), "utf_8_sig", "koi8_u", "cp874"})


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
    codings = [name.strip().lower() for name in encoding.split(",", _MAX_CODINGS)]
    if len(codings) > _MAX_CODINGS:
        raise BodyError(DECODE, f"the body has more than {_MAX_CODINGS} content codings")
    for coding in reversed(codings):
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
    size = at = members = 0
    while at < len(data):
        members += 1
        if members > _MAX_MEMBERS:
            raise BodyError(DECODE, f"the compressed body has more than {_MAX_MEMBERS} members")
        inflater = zlib.decompressobj(window)
        while not inflater.eof:
            block = data[at : at + _BLOCK]
            if not block:
                raise BodyError(DECODE, "the compressed body ends too early")
            try:
                piece = inflater.decompress(block, limit - size + 1)
            except zlib.error as exc:
                raise BodyError(DECODE, f"the compressed body is damaged: {exc}") from exc
            size += len(piece)
            if size > limit:
                raise BodyError(BODY_TOO_LARGE, f"the decompressed body is larger than {limit} bytes")
            out.append(piece)
            at += len(block) - len(inflater.unused_data)
        # Padding behind the last member is common and harmless; only gzip may hold another member.
        if window != _GZIP or data[at : at + 2] != b"\x1f\x8b":
            break
    return out[0] if len(out) == 1 else b"".join(out)


def to_text(body: bytes, content_type: str) -> str:
    """Returns a body as text, by the charset of its Content-Type, else as UTF-8; what does not fit becomes U+FFFD."""
    _, _, rest = content_type.lower().partition("charset=")
    charset = normalize_encoding(rest.partition(";")[0].strip(" \"'"))
    if charset in _CHARSETS:
        try:
            return body.decode(charset, "replace")
        except (LookupError, ValueError):  # no text encoding at all, or one of another system
            pass
    return body.decode("utf-8", "replace")
