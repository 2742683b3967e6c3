"""The hub behind TLS, as a process on a real socket: whom it serves, what it refuses, and certificates that are renewed under it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from support.agents import environment
from support.certificates import Authority
from support.fakerunner import FakeRunner, manifest
from support.mountedcertificate import Mounted, serial_of

from squall.errors import UsageError
from squall.hub import protocol
from squall.hub.__main__ import main
from squall.hub.certificates import Certificates
from squall.hub.hub import Hub
from squall.hub.model import RunSpec

SECONDS = 20


def greeting(url: str, authority: Authority, name: str | None = "localhost") -> int:
    """The serial number of the certificate with which a new connection is greeted, after it was verified."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.check_hostname = name is not None
    return greeted(url, context, name)


def greeted(url: str, context: ssl.SSLContext, name: str | None) -> int:
    host, _, port = url.removeprefix("https://").rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        found = connection.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def mounted(tmp_path: Path, authority: Authority) -> Mounted:
    folder = tmp_path / "mounted"
    folder.mkdir()
    return Mounted(folder, authority)


class Served:
    """A hub's process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def said(self) -> dict[str, str]:
        """The next line of its log."""
        assert self.process.stderr is not None
        line = await asyncio.wait_for(self.process.stderr.readline(), SECONDS)
        return dict(json.loads(line))


@pytest.fixture
async def served(mounted: Mounted) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "squall.hub", "--listen", "127.0.0.1:0"),
        *("--tls-cert-file", str(mounted.certificate), "--tls-key-file", str(mounted.key)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
    try:
        yield Served(process, json.loads(line)["url"])
    finally:
        process.terminate()
        await process.communicate()


async def health(url: str, context: ssl.SSLContext | bool) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz", ssl=context) as answer:
        return answer.status


async def test_it_serves_https_to_whoever_trusts_it(served: Served, authority: Authority) -> None:
    assert served.url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    assert await health(served.url, trusting) == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await health(served.url, True)
    with pytest.raises(aiohttp.ClientError):
        await health(served.url.replace("https://", "http://"), True)


async def test_old_versions_of_tls_are_refused(served: Served, authority: Authority) -> None:
    old = ssl.create_default_context(cafile=str(authority.certificate))
    old.set_ciphers("DEFAULT:@SECLEVEL=0")  # else this side would refuse it
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(greeted, served.url, old, "localhost")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await asyncio.to_thread(greeted, served.url, old, "localhost")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", None])
async def test_a_renewed_certificate_greets_whoever_comes_next(
    served: Served, mounted: Mounted, authority: Authority, name: str | None
) -> None:
    first = await asyncio.to_thread(greeting, served.url, authority, name)
    second = mounted.renew()
    assert first != second
    assert await asyncio.to_thread(greeting, served.url, authority, name) == second
    assert (await served.said())["message"] == "the certificate was renewed"
    third = mounted.renew()
    assert await asyncio.to_thread(greeting, served.url, authority, name) == third


async def test_who_is_connected_stays_connected(
    served: Served, mounted: Mounted, authority: Authority
) -> None:
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    connector = aiohttp.TCPConnector(ssl=trusting, limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        assert (await session.get(f"{served.url}/healthz")).status == 200
        for file in (mounted.certificate, mounted.key):
            file.unlink()
        # A new connection would be greeted with the last certificate; this one is used again.
        assert (await session.get(f"{served.url}/healthz")).status == 200


@pytest.mark.parametrize("broken", ["other key", "nonsense", "gone"])
async def test_a_renewal_that_is_not_usable_is_told_once_and_changes_nothing(
    served: Served, mounted: Mounted, authority: Authority, broken: str
) -> None:
    first = await asyncio.to_thread(greeting, served.url, authority)
    good = authority.issue("good", name="hub", hosts=("localhost",))
    if broken == "other key":
        other = authority.issue("other", name="hub", hosts=("localhost",))
        mounted.show(good.certificate.read_bytes(), other.key.read_bytes())
    elif broken == "nonsense":
        mounted.show(b"nonsense", b"nonsense")
    else:
        mounted.certificate.unlink()
    for _ in range(3):
        assert await asyncio.to_thread(greeting, served.url, authority) == first
    said = await served.said()
    assert said["level"] == "error"
    assert "the last one stays" in said["message"]
    if broken == "gone":
        mounted.certificate.symlink_to(Path("..data") / "tls.crt")
    mounted.show(good.certificate.read_bytes(), good.key.read_bytes())
    assert await asyncio.to_thread(greeting, served.url, authority) == serial_of(good)
    assert (await served.said())["message"] == "the certificate was renewed"


async def test_runners_find_it_again_after_a_renewal(mounted: Mounted, authority: Authority) -> None:
    said: list[tuple[str, str]] = []
    hub = Hub(b"key")
    certificates = Certificates(mounted.certificate, mounted.key, lambda *words: said.append(words))
    url = await hub.start("127.0.0.1", 0, certificates)
    try:
        hub.add_run(RunSpec(run="r1", manifest=manifest(shards=1), runners=((0,),)))
        for _ in range(2):
            runner = FakeRunner(url, "r1", hub.token("r1"), trust=str(authority.certificate))
            await runner.connect()
            await runner.wait_for(protocol.Welcome)
            await runner.close()
            mounted.renew()
        assert said == [("info", "the certificate was renewed")]
    finally:
        await hub.close()


def options(mounted: Mounted) -> list[str]:
    return ["--tls-cert-file", str(mounted.certificate), "--tls-key-file", str(mounted.key)]


@pytest.mark.parametrize("one", [["--tls-cert-file", "x"], ["--tls-key-file", "x"]])
def test_one_file_without_the_other_is_refused(
    one: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SQUALL_HUB_KEY", "key")
    with pytest.raises(SystemExit):
        main(one)
    assert "--tls-cert-file and --tls-key-file belong together" in capsys.readouterr().err


def test_files_that_cannot_be_used_are_told_before_anything_is_served(
    mounted: Mounted,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SQUALL_HUB_KEY", "key")
    other = authority.issue("other", name="hub")
    mounted.show(mounted.certificate.read_bytes(), other.key.read_bytes())
    assert main(options(mounted)) == 2
    assert "key values mismatch" in capfd.readouterr().err
    mounted.show(b"nonsense", b"nonsense")
    assert main(options(mounted)) == 2
    assert "one of them is not what it should be" in capfd.readouterr().err
    mounted.key.unlink()
    assert main(options(mounted)) == 2
    told = capfd.readouterr()
    assert "No such file" in told.err
    assert f"{mounted.key}'" in told.err
    assert told.out == ""


def test_a_key_with_a_password_is_refused_instead_of_asked_for(mounted: Mounted) -> None:
    key = serialization.load_pem_private_key(mounted.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    mounted.show(mounted.certificate.read_bytes(), locked)
    with pytest.raises(UsageError, match="no TLS"):
        Certificates(mounted.certificate, mounted.key, lambda *_: None)
