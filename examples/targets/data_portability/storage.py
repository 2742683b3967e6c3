"""Object storage for the network: several accounts with a bucket each, and pre-signed URLs to their objects.

The store is moto's S3 server (`storage_server`). What it needs has nothing to do with Squall and would hold back the versions
of what Squall needs, so it has a virtual environment of its own, made once per machine from pinned and hashed
requirements.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import venv
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import aiohttp
from data_portability.signing import StorageAccount, presigned_url
from tool_cache import alone, cache_folder

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "storage-requirements.txt"
URL_SECONDS = 900
LIST_SIZE = 1000
STOP_SECONDS = 5.0
_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class StorageError(RuntimeError):
    """The object store cannot be had or did not start; the message says why."""


def storage_python() -> Path:
    """The interpreter that has what the object store needs; its environment is made when it is not there.

    Raises:
        StorageError: The packages cannot be installed.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = cache_folder("object-store")
    folder = cache / digest
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists():
        with alone(cache):
            if not ready.exists():
                sys.stderr.write("installing the object store (once per machine)\n")
                venv.create(folder, clear=True, with_pip=True)
                _install(python)
                ready.touch()
    return python


def _install(python: Path) -> None:
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
    ]
    done = subprocess.run(
        [*command, "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode != 0:
        raise StorageError(f"the object store cannot be installed: {done.stderr.strip()}")


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """How the object store behaves.

    Args:
        accounts: How many accounts there are, each with a bucket.
        host: Address to listen on.
        port: 0 takes a free one.
        latency: Mean seconds that each request takes longer.
        failure_rate: Share of requests for objects that are answered with 503.
    """

    accounts: int = 3
    host: str = "127.0.0.1"
    port: int = 0
    latency: float = 0.0
    failure_rate: float = 0.0


class Storage:
    """The running store, as its owner sees it.

    Args:
        options: How it behaves.
        advertised: The host by which others reach it.
        seed: Makes the accounts' keys, the same ones at every start.
    """

    def __init__(self, options: StorageOptions, advertised: str, seed: str) -> None:
        self._options, self._advertised = options, advertised
        self.endpoint = ""
        self.accounts = {
            f"storage-{number}": StorageAccount(
                name=f"storage-{number}",
                bucket=f"personal-data-{number}",
                access_key=f"AK{number:04}",
                secret_key=hashlib.sha256(f"{seed}/storage/{number}".encode()).hexdigest(),
            )
            for number in range(1, options.accounts + 1)
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Start the server and make the buckets.

        Raises:
            StorageError: It cannot be had, or did not start.
        """
        python = await asyncio.to_thread(storage_python)
        accounts = {each.access_key: [each.secret_key, each.bucket] for each in self.accounts.values()}
        options = self._options
        self._process = await asyncio.create_subprocess_exec(
            *(str(python), str(HERE / "storage_server.py"), json.dumps(accounts)),
            *("--host", options.host, "--port", str(options.port)),
            *("--latency", str(options.latency), "--failure-rate", str(options.failure_rate)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        if not line.startswith("listening on "):
            raise StorageError("the object store did not start; see its error above")
        self.endpoint = f"http://{self._advertised}:{line.split()[-1]}"
        for account in self.accounts.values():
            await self._made(session, account)

    async def _made(self, session: aiohttp.ClientSession, account: StorageAccount) -> None:
        async with session.put(self.url(account, "PUT", "")) as answer:
            if answer.status != 200:
                raise StorageError(f"the bucket {account.bucket} cannot be made: {await answer.text()}")

    async def stop(self) -> None:
        """End the server and wait for that."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def url(self, account: StorageAccount, method: str, key: str, **query: str) -> str:
        """A URL for one request within the next minutes."""
        query = {name.replace("_", "-"): value for name, value in query.items()}
        now = datetime.now(UTC)
        return presigned_url(account, self.endpoint, method, key, at=now, expires=URL_SECONDS, query=query)

    async def listed(self, session: aiohttp.ClientSession, account: StorageAccount, prefix: str) -> list[str]:
        """The first keys of an account's objects with this prefix, `LIST_SIZE` at most."""
        url = self.url(account, "GET", "", list_type="2", prefix=prefix, max_keys=str(LIST_SIZE))
        async with session.get(url) as answer:
            answer.raise_for_status()
            found = ET.fromstring(await answer.text())
        return [each.text or "" for each in found.iter(f"{_S3}Key")]


def deletion(keys: list[str]) -> str:
    """The body of S3's request to delete many objects."""
    objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return f"<Delete>{objects}<Quiet>true</Quiet></Delete>"
