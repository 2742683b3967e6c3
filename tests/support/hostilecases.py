"""Every way in which a response can be bad, and the class in which it has to end.

One table for the client alone and for the whole engine. Each case is a script for one connection; those that never end by
themselves need a timeout, and a limit of the body below 150 kB.
"""

from __future__ import annotations

import time

from support.hostile import Peer, Script, answers

HEAD = b"HTTP/1.1 200 OK\r\n"


def then_hang(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.answer(data)
        peer.hang()

    return script


def then_reset(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.answer(data)
        peer.reset()

    return script


def endless(head: bytes, piece: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.answer(head)
        while True:
            peer.send(piece)

    return script


def trickle(data: bytes) -> Script:
    """A byte each hundredth of a second, until the client has had enough."""

    def script(peer: Peer) -> None:
        peer.request()
        for byte in data:
            peer.send(bytes([byte]))
            time.sleep(0.01)

    return script


BAD: dict[str, tuple[Script, str | tuple[str, ...]]] = {
    "a byte of the header at a time": (trickle(HEAD + b"X: y\r\n" * 1000), "timeout"),
    "a byte of the body at a time": (
        trickle(HEAD + b"Content-Length: 9000\r\n\r\n" + b"x" * 9000),
        "timeout",
    ),
    "never answers": (then_hang(b""), "timeout"),
    "half a status line": (then_hang(b"HTTP/1.1 2"), "timeout"),
    "half a header": (then_hang(HEAD + b"Content-Le"), "timeout"),
    "half a header, then close": (answers(HEAD + b"Content-Le"), "closed"),
    "header of a megabyte": (then_hang(HEAD + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n"), "protocol"),
    "header of a megabyte in small fields": (
        then_hang(HEAD + b"X: yyyyyyyyyyyyyyy\r\n" * 50_000),
        "protocol",
    ),
    "header without end": (endless(HEAD, b"X: y\r\n" * 100), "protocol"),
    "large header and body at once": (
        then_hang(HEAD + b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"),
        "protocol",
    ),
    "garbage": (answers(b"\x00\x01\x02 I am not a web server\r\n\r\n"), "protocol"),
    "garbage without end": (endless(b"", b"\x00\x01\x02" * 1000), "protocol"),
    "another protocol": (answers(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol"),
    "bad status": (answers(b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n"), "protocol"),
    "status below 100": (answers(b"HTTP/1.1 042 OK\r\nContent-Length: 0\r\n\r\n"), "protocol"),
    "status of zeros, up to the end": (answers(b"HTTP/1.1 000 Zero\r\n\r\nbody"), "protocol"),
    "bad version": (answers(b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"), "protocol"),
    "bare line feeds": (answers(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), "protocol"),
    "space in a field name": (answers(HEAD + b"Content Length: 0\r\n\r\n"), "protocol"),
    "bad chunk size": (
        answers(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
        "protocol",
    ),
    "huge chunk size": (
        answers(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        "protocol",
    ),
    "chunk without its line end": (
        answers(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n"),
        "protocol",
    ),
    "close between chunks": (answers(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), "closed"),
    "silence between chunks": (then_hang(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), "timeout"),
    "content-length too long, then close": (answers(HEAD + b"Content-Length: 10\r\n\r\nok"), "closed"),
    "content-length too long, then silence": (then_hang(HEAD + b"Content-Length: 10\r\n\r\nok"), "timeout"),
    "content-length twice": (answers(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"), "protocol"),
    "content-length twice the same": (
        answers(HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        "protocol",
    ),
    "content-length as a list": (answers(HEAD + b"Content-Length: 2, 2\r\n\r\nok"), "protocol"),
    "content-length negative": (answers(HEAD + b"Content-Length: -2\r\n\r\nok"), "protocol"),
    "content-length and chunked": (
        answers(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        "protocol",
    ),
    "close before anything": (answers(b""), "closed"),
    "close instead of reading": (lambda peer: None, ("closed", "reset")),
    "reset before anything": (then_reset(b""), "reset"),
    "reset instead of reading": (lambda peer: peer.reset(), "reset"),
    "reset within the header": (then_reset(HEAD), "reset"),
    "reset between chunks": (then_reset(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), "reset"),
    "reset within a body without length": (then_reset(HEAD + b"\r\nok"), "reset"),
    "reset within the body": (then_reset(HEAD + b"Content-Length: 10\r\n\r\nok"), "reset"),
    "interim responses without end": (
        endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        "protocol",
    ),
    "only an interim response": (then_hang(b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
    "body larger than allowed": (
        then_hang(HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 150_000),
        "body_too_large",
    ),
    "body without end": (endless(HEAD + b"\r\n", b"x" * 10_000), "body_too_large"),
    "chunks without end": (
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n" * 500),
        "body_too_large",
    ),
}
"""By name: the script of each connection, and the class or the classes in which a GET has to end."""
