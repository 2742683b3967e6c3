"""Encodings, digests and signatures: what an API's authentication asks a client to compute."""

from __future__ import annotations

import base64 as b64
import functools
import hashlib
import hmac as hmaclib
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from squall.expr.errors import EvaluationError
from squall.expr.limits import MAX_TEXT, bounded_text, bounded_value, to_json_text, to_text, too_long
from squall.expr.registry import function
from squall.nesting import bounded

_DIGESTS = ("sha256", "sha512", "sha384", "sha1", "md5")
_decode = bounded(msgspec.json.Decoder().decode)
_JWT_ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384")


def _bytes(value: Any) -> bytes:
    text = to_text(value)
    if len(text) > MAX_TEXT:
        raise too_long()
    return text.encode()


def _shown(digest: bytes, encoding: str) -> str:
    if encoding == "hex":
        return digest.hex()
    if encoding == "base64":
        return b64.b64encode(digest).decode()
    if encoding == "base64url":
        return b64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    raise ValueError("encoding is one of hex, base64, base64url")


@function("json", "A value written as compact JSON.", kind="str")
def _json(value: Any) -> str:
    return bounded_text(to_json_text(value))


@function("parseJson", "The value that a JSON text describes.")
def _parse_json(text: str) -> Any:
    return bounded_value(_decode(_bytes(text)))


@function("base64", "Base64 of the text's UTF-8 bytes.", kind="str")
def _base64(text: str) -> str:
    return bounded_text(b64.b64encode(_bytes(text)).decode())


@function(
    "base64decode",
    "Text whose UTF-8 bytes are given in base64, of either alphabet, padded or not.",
    kind="str",
)
def _base64decode(text: str) -> str:
    plain = _bytes(text).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    return b64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True).decode()


@function("urlencode", "The text, safe as a part of a URL (percent-encoded, `/` too).", kind="str")
def _urlencode(text: str) -> str:
    return bounded_text(quote(_bytes(text), safe=""))


@function("urldecode", "The text that a percent-encoded one stands for.", kind="str")
def _urldecode(text: str) -> str:
    return unquote(_bytes(text).decode())


@function("hex", "Hexadecimal digits of a whole number, or of the text's UTF-8 bytes.", kind="str")
def _hex(value: Any) -> str:
    return f"{value:x}" if isinstance(value, int) else bounded_text(_bytes(value).hex())


@function("sha256", "SHA-256 of the text, as hex, base64 or base64url.", kind="str")
def _sha256(text: str, encoding: str = "hex") -> str:
    return _shown(hashlib.sha256(_bytes(text)).digest(), encoding)


@function("sha1", "SHA-1 of the text, as hex, base64 or base64url.", kind="str")
def _sha1(text: str, encoding: str = "hex") -> str:
    return _shown(hashlib.sha1(_bytes(text), usedforsecurity=False).digest(), encoding)


@function("md5", "MD5 of the text, as hex, base64 or base64url.", kind="str")
def _md5(text: str, encoding: str = "hex") -> str:
    return _shown(hashlib.md5(_bytes(text), usedforsecurity=False).digest(), encoding)


@function("hmac", f"HMAC of the text under a key; `alg` is one of {', '.join(_DIGESTS)}.", kind="str")
def _hmac(alg: str, key: str, text: str, encoding: str = "hex") -> str:
    if alg not in _DIGESTS:
        raise ValueError(f"alg is one of {', '.join(_DIGESTS)}")
    return _shown(hmaclib.digest(_bytes(key), _bytes(text), alg), encoding)


def _pyjwt() -> Any:
    try:
        import jwt  # noqa: PLC0415 - an extra of the runner, not needed to read a manifest
    except ImportError:
        raise EvaluationError("jwt() needs PyJWT", "pip install 'squall[runner]'") from None
    return jwt


@function(
    "jwt",
    f"Signed JSON Web Token; `alg` is one of {', '.join(_JWT_ALGORITHMS)}.",
    kind="str",
    fold=False,  # PyJWT may be missing where a manifest is only read
    library=_pyjwt,
)
def _jwt(payload: dict[str, Any], key: str, alg: str = "HS256") -> str:
    if not isinstance(payload, dict):
        raise TypeError("the payload must be a mapping")
    signer, prepared = _signer(alg, to_text(key))
    header = to_json_text({"alg": alg, "typ": "JWT"})
    signed = ".".join(_shown(part.encode(), "base64url") for part in (header, to_json_text(payload)))
    return bounded_text(f"{signed}.{_shown(signer.sign(signed.encode(), prepared), 'base64url')}")


@functools.lru_cache(maxsize=64)
def _signer(alg: str, key: str) -> tuple[Any, Any]:
    """PyJWT's algorithm with the key parsed once: reading a PEM key costs more than signing with it."""
    if alg not in _JWT_ALGORITHMS:
        raise ValueError(f"alg is one of {', '.join(_JWT_ALGORITHMS)}")
    jwt = _pyjwt()
    try:
        algorithm = jwt.get_algorithm_by_name(alg)
        return algorithm, algorithm.prepare_key(key)
    except (jwt.PyJWTError, NotImplementedError) as error:
        raise ValueError(f"the key does not fit {alg}: {error}") from None
