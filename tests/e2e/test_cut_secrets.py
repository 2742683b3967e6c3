"""A secret is hidden also where a text was cut in the middle of it: targets tell what they were sent, and messages are short."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from support.hostile import Peer, hostile
from support.squallrun import Squall, manifest

SECRET = "k7Qz-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2
BEGINNING = SECRET[:8]
"""What nobody would write by chance."""


def echoing(before: int) -> list[bytes]:
    """Answers in which the secret comes after so many characters: a body, and a way to another place."""
    told = b"." * before + SECRET.encode()
    return [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told) + 2, b'"%b"' % told),
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ftp://h/%b\r\n\r\n" % told,
    ]


def text_of(path: Path) -> str:
    """What a file of the results holds; nothing for a folder."""
    if path.is_dir():
        return ""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace")


@pytest.mark.parametrize("before", [10, 60, 120, 180])
def test_no_part_of_a_secret_is_seen(squall: Squall, before: int) -> None:
    def echo(peer: Peer) -> None:
        while request := peer.request():
            peer.send(echoing(before)[b"/moved" in request])

    ask = {"url": "/", "headers": {"X-Key": "${var.key}"}}
    steps = [
        {"http": ask, "extract": {"x": {"jsonPath": "$.nothing"}}},
        {"http": ask | {"url": "/moved"}},
        {"http": ask, "extract": {"told": {"jsonPath": "$"}}},
        {"http": ask, "record": {"trend": "numbers", "value": "body"}},
        {"set": {"number": "${int(told)}"}},
        {"repeat": {"times": "${told}", "steps": [{"think": {"duration": "1ms"}}]}},
        {"poll": {"http": ask, "until": "status == 0", "failWhen": "status == 200"}},
    ]
    named = [{"name": f"step-{number}", "onError": "continue", **each} for number, each in enumerate(steps)]
    variables = [{"name": "key", "secret": {"name": "s", "key": "k"}, "env": "SECRET_KEY"}]
    with hostile(echo) as server:
        test = manifest(
            server.url,
            steps=named,
            variables=variables,
            setup={"steps": named[:2]},
            safety={"saturation": {"tolerated": "100%"}},
        )
        ended = squall(test, environ={"SECRET_KEY": SECRET}).ended()
    failed = {each.step for each in ended.summary.errors}
    assert failed == {f"step-{number}" for number in (0, 1, 3, 4, 5, 6)}
    shown = [ended.out, *map(text_of, ended.results.rglob("*"))]
    assert [text for text in shown if BEGINNING in text] == []
