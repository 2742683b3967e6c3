"""Generations of the webhook's certificate: when the next is made, announced and taken up. Pure but for the making of keys.

Each generation is a certificate that vouches for itself and for nothing else, so there is no authority whose key would have to be kept. It lives
through three times, so that no moment finds a server with a certificate that its clients do not know:

    next      made and announced: those who call trust it, nobody serves it yet
    current   served by all replicas, as soon as they look
    former    served no more, but still trusted for those replicas that have not looked yet

A step is taken only an overlap after the one before, and only when those who call have been seen to trust what is to be served.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Mapping

VALID: Final = dt.timedelta(days=90)
RENEWED: Final = dt.timedelta(days=60)
"""Age at which the next generation is made; the days that are left are for clusters whose operator is away for a while."""
OVERLAP: Final = dt.timedelta(hours=1)
"""Between two steps. API servers see what they are to trust within seconds, replicas look every half minute."""
BACKDATED: Final = dt.timedelta(hours=1)
"""How long before its making a certificate is valid, for those whose clock is behind."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both in PEM."""

    certificate: bytes
    key: bytes

    @classmethod
    def made(cls, host: str, now: dt.datetime) -> Pair:
        """A new pair for a server that is called by this name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "squall-webhook")])
        certificate = (
            x509.CertificateBuilder(
                issuer_name=name,
                subject_name=name,
                public_key=key.public_key(),
                serial_number=x509.random_serial_number(),
                not_valid_before=now - BACKDATED,
                not_valid_after=now + VALID,
            )
            .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def age(self, now: dt.datetime) -> dt.timedelta:
        """Since it was made."""
        return now - BACKDATED - x509.load_pem_x509_certificate(self.certificate).not_valid_before_utc

    def is_for(self, host: str, now: dt.datetime) -> bool:
        """Whether it can be served now, to those who call this name or address."""
        found = x509.load_pem_x509_certificate(self.certificate)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return now < found.not_valid_after_utc and _alternative(host) in names


@dataclass(frozen=True, slots=True)
class Generations:
    """What the replicas share.

    Attributes:
        current: What is served.
        next: What is announced, if anything is.
        former: The certificate that was served before and may still be met, if there is one.
    """

    current: Pair
    next: Pair | None = None
    former: bytes = b""

    @property
    def trusted(self) -> bytes:
        """All certificates that may be met, in PEM."""
        return self.current.certificate + (self.next.certificate if self.next else b"") + self.former


def step(found: Generations | None, trusted: bytes, host: str, now: dt.datetime) -> Generations | None:
    """What has to be in the place of what there is; None when nothing has to be done.

    Args:
        found: What the replicas share now; None when there is nothing that could be used.
        trusted: What those who call are told to trust, in PEM.
        host: The name or address that the webhook is called by.
        now: The time.
    """
    if found is None or not found.current.is_for(host, now):
        return Generations(Pair.made(host, now))  # whoever calls meanwhile is refused in any case
    if found.next is not None:
        announced = found.next.certificate.strip() in trusted
        if announced and found.next.age(now) >= OVERLAP:
            return Generations(found.next, former=found.current.certificate)
        return None
    if found.current.age(now) >= RENEWED:
        return Generations(found.current, Pair.made(host, now), found.former)
    if found.former and found.current.age(now) >= 2 * OVERLAP:
        return Generations(found.current)
    return None


# -- as a Secret holds them -----------------------------------------------------------------------------------

_CURRENT: Final = ("tls.crt", "tls.key")
_NEXT: Final = ("next.crt", "next.key")
_FORMER: Final = "former.crt"


def data_of(generations: Generations) -> dict[str, str]:
    """The `data` of a Secret."""
    parts = dict(zip(_CURRENT, (generations.current.certificate, generations.current.key), strict=True))
    if generations.next is not None:
        parts |= zip(_NEXT, (generations.next.certificate, generations.next.key), strict=True)
    if generations.former:
        parts[_FORMER] = generations.former
    return {key: b64encode(value).decode() for key, value in parts.items()}


def read(data: Mapping[str, str]) -> Generations | None:
    """What a Secret holds; None when that is nothing that could be served."""
    try:
        parts = {key: b64decode(value, validate=True) for key, value in data.items()}
        current = _pair(parts, _CURRENT)
        following = _pair(parts, _NEXT)
    except (ValueError, TypeError, Base64Error, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return None
    return Generations(current, following, parts.get(_FORMER, b"")) if current else None


def _pair(parts: Mapping[str, bytes], keys: tuple[str, str]) -> Pair | None:
    if any(key not in parts for key in keys):
        return None
    pair = Pair(*(parts[key] for key in keys))
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    key: Any = serialization.load_pem_private_key(pair.key, password=None)
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is that of another certificate")
    return pair


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
