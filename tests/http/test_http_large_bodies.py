"""Bodies larger than anybody would want to hold in memory, and bodies that nobody looks at."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.driving import drive_steps, target

from squall_runner.http import response as responses
from squall_runner.http.decoding import decode

MIB = 1 << 20
MOST_GROWTH = 24 * MIB
"""What a process may grow by while it moves hundreds of megabytes: buffers of sockets, and some luck."""

CLIENT = """
import asyncio, json, resource, sys
from pathlib import Path
import uvloop
from squall_runner.http import FileBody, FilePart, HttpClient, Limits, Multipart, Network, NetworkOptions, build

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

async def main(url, kind, path):
    network = Network(NetworkOptions(limits=Limits(max_discarded_bytes=1 << 31)))
    client = HttpClient(network)
    await client.send(build("GET", url + "small"), timeout=30)
    before = peak()
    if kind == "file":
        body = FileBody(Path(path))
    elif kind == "multipart":
        body = Multipart([FilePart("a", Path(path)), FilePart("b", Path(path))])
    else:
        body = None
    headers = [("Accept-Encoding", "gzip")] if kind == "gzip" else []
    method = "GET" if body is None else "POST"
    response = await client.send(build(method, url + kind, headers, body), timeout=120)
    told = [response.status, response.error, response.error_message, response.size, response.bytes_sent]
    print(json.dumps([*told, peak() - before]))
    client.close()
    await network.close()

uvloop.run(main(*sys.argv[1:]))
"""


class Counting:
    """A server that takes and gives large bodies without keeping any of them.

    Attributes:
        heads: The heads of the requests.
        taken: Bytes of their bodies.
    """

    def __init__(self, give: Callable[[], Iterator[bytes]], length: int) -> None:
        self.heads: list[bytes] = []
        self.taken = 0
        self._give = give
        self._length = length
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(30)
        self._listener.close()

    def _serve(self) -> None:
        self._listener.settimeout(60)
        with self._listener.accept()[0] as peer:
            peer.settimeout(60)
            while self._one(peer):
                pass

    def _one(self, peer: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = peer.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        self.heads.append(head)
        left = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        ) - len(rest)
        self.taken += len(rest)
        while left > 0:
            piece = peer.recv(min(left, MIB))
            self.taken += len(piece)
            left -= len(piece)
        large = head.startswith((b"GET /download", b"GET /gzip"))
        coding = b"Content-Encoding: gzip\r\n" if head.startswith(b"GET /gzip") else b""
        peer.sendall(
            b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (coding, self._length if large else 0)
        )
        for piece in self._give() if large else ():
            peer.sendall(piece)
        return True


@contextmanager
def counting(megabytes: int = 0) -> Iterator[Counting]:
    piece = bytes(MIB)
    server = Counting(lambda: iter([piece] * megabytes), megabytes * MIB)
    try:
        yield server
    finally:
        server.close()


def moved(server: Counting, kind: str, path: Path | str = "") -> tuple[list[Any], int]:
    """Sends a request from a process of its own; what came of it, and by how much the process grew."""
    ended = subprocess.run(
        [sys.executable, "-c", CLIENT, server.url, kind, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    *told, growth = json.loads(ended.stdout)
    return told, growth


@pytest.mark.parametrize(("kind", "times"), [("file", 1), ("multipart", 2)])
def test_a_large_file_is_streamed(kind: str, times: int, tmp_path: Path) -> None:
    path, size = tmp_path / "large.bin", 200 * MIB
    with path.open("wb") as file:
        file.truncate(size)
    with counting() as server:
        (status, error, message, _, sent), growth = moved(server, kind, path)
    assert (status, error, message) == (200, "", "")
    assert times * size <= server.taken <= times * size + 1000
    assert sent == server.taken + len(server.heads[1]) + 4
    assert b"\r\nexpect:" not in server.heads[1].lower()
    assert growth < MOST_GROWTH


@pytest.mark.parametrize("kind", ["download", "gzip"])
def test_a_large_body_that_nobody_reads_is_thrown_away_as_it_comes(kind: str) -> None:
    with counting(500) as server:
        (status, error, message, size, _), growth = moved(server, kind)
    assert (status, error, message) == (200, "", "")
    assert size == 500 * MIB
    assert growth < MOST_GROWTH


# -- compressed bodies --------------------------------------------------------------------------------------------

READERS: dict[str, tuple[dict[str, Any], int]] = {
    "nothing": ({}, 0),
    "its status": ({"checks": {"is well": "status == 200", "is quick": "duration < 5s"}}, 0),
    "its header": (
        {"extract": {"kind": {"header": "Content-Type"}}, "checks": {"kind": "headers != null"}},
        0,
    ),
    "its size": ({"checks": {"is small": "size < 3000"}}, 0),
    "its text": ({"checks": {"is said": "'numbers' in text"}}, 1),
    "its JSON": ({"checks": {"is said": "len(body.numbers) == 1000", "again": "body.numbers[1] == 1"}}, 1),
    "a value": ({"extract": {"one": {"jsonPath": "$.numbers[1]"}}}, 1),
    "a match": ({"extract": {"one": {"regex": "numbers"}}}, 1),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_is_decompressed_only_for_who_reads_it(
    coding: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, times = READERS[reader]
    unpacked: list[str] = []

    def counted(data: bytes, encoding: str, limit: int) -> bytes:
        unpacked.append(encoding)
        return decode(data, encoding, limit)

    async def packed(_: web.Request) -> web.StreamResponse:
        response = web.json_response({"numbers": list(range(1000))})
        response.enable_compression(web.ContentCoding(coding))
        return response

    monkeypatch.setattr(responses, "decode", counted)
    async with target() as server:
        server.answers["/packed"] = packed
        http = {"url": "/packed", "headers": {"Accept-Encoding": coding}}
        measured = await drive_steps(server, [{"name": "get", "http": http, **looks}])
    assert unpacked == [coding] * times
    hits, checks = measured.rate("checks")
    assert hits == checks == len(looks.get("checks", {}))
    assert measured.count("iterations") == 1


async def test_nothing_is_compressed_unless_the_manifest_asks_for_it() -> None:
    async with target() as server:
        await drive_steps(
            server, [{"http": {"url": "/"}}, {"http": {"url": "/", "headers": {"Accept-Encoding": "gzip"}}}]
        )
    plain, asked = (seen.headers for seen in server.seen)
    assert "Accept-Encoding" not in plain
    assert asked["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("coding", ["br", "zstd"])
async def test_a_coding_that_nobody_asked_for_is_named_by_who_reads_it(coding: str) -> None:
    async def packed(_: web.Request) -> web.Response:
        return web.Response(body=b"\x28\xb5\x2f\xfd", headers={"Content-Encoding": coding})

    async with target() as server:
        server.answers["/packed"] = packed
        steps: list[dict[str, Any]] = [
            {"name": "counted", "http": {"url": "/packed"}},
            {"name": "read", "http": {"url": "/packed"}, "extract": {"one": {"jsonPath": "$.a"}}},
        ]
        measured = await drive_steps(server, steps)
    assert measured.rate("http_req_failed", step="counted") == (0, 1)
    assert measured.count("step_failures", step="read") == 1
