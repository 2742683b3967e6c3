"""A certificate that is renewed under whoever uses it, as in a pod."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from support.certificates import Authority, KeyPair


class Mounted:
    """A certificate and its key as a kubelet mounts a Secret: one link decides which of two folders is shown."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self._count = 0
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.renew()
        for path in (self.certificate, self.key):
            path.symlink_to(Path("..data") / path.name)

    def renew(self) -> int:
        """Show another certificate; returns its serial number."""
        self._count += 1
        made = self.authority.issue(f"hub-{self._count}", name="hub", hosts=("127.0.0.1", "localhost"))
        self.show(made.certificate.read_bytes(), made.key.read_bytes())
        return serial_of(made)

    def show(self, certificate: bytes, key: bytes) -> None:
        place = self.folder / f"..{self._count}-{os.urandom(2).hex()}"
        place.mkdir()
        (place / "tls.crt").write_bytes(certificate)
        (place / "tls.key").write_bytes(key)
        link = self.folder / "..new"
        link.symlink_to(place.name)
        link.replace(self.folder / "..data")


def serial_of(pair: KeyPair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes()).serial_number
