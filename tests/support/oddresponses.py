"""Responses as no decent server sends them: valid ones from a small grammar, and what mutation makes of them.

Random bytes alone rarely get behind the first line of a parser. So most inputs begin as a response that is valid or nearly so,
with fields that mean something to whoever reads them later (lengths, codings, charsets, cookies, dates, locations), and only
then are bytes changed, lost, doubled or swapped. Everything follows from one source of chance: the same number, the same input.
"""

from __future__ import annotations

import gzip
import json
import zlib
from random import Random

CRLF = b"\r\n"
STATUS_LINES = [
    *[b"HTTP/1.1 200 OK"] * 100, b"HTTP/1.0 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 201 Created", b"HTTP/1.1 206 Partial Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 301 Moved",
    b"HTTP/1.1 302 Found", b"HTTP/1.1 303 See Other", b"HTTP/1.1 307 Temporary Redirect", b"HTTP/1.1 308 Permanent",
    b"HTTP/1.1 300 Choices", b"HTTP/1.1 400 Bad", b"HTTP/1.1 401 No", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 429 Slow down",
    b"HTTP/1.1 500 Oops", b"HTTP/1.1 503 Later", b"HTTP/1.1 999 ?", b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Hint",
    b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 000 Zero", b"HTTP/1.1 99 Less", b"HTTP/1.1 1000 More", b"HTTP/2 200",
    b"HTTP/0.9 200 OK", b"http/1.1 200 ok", b"ICY 200 OK", b"HTTP/1.1  200  OK", b"HTTP/1.1 200 \xc3\xa4\xff", b"HTTP/1.1 -20 X",
    b"SSH-2.0-OpenSSH_9.6", b"<html>", b"",
]  # fmt: skip
LENGTHS = [
    b"0", b"1", b"5", b"10", b"-1", b"+5", b" 5 ", b"5, 5", b"5,6", b"0x10", b"1e3", b"", b"99999", b"4294967296",
    b"9223372036854775807", b"18446744073709551616", b"\xb2", b"5;", b"00000000000000000005",
]  # fmt: skip
FRAMINGS = [
    b"chunked", b"Chunked", b"gzip, chunked", b"chunked, gzip", b"identity", b"chunked, chunked", b"chunked;q=1", b" chunked ",
    b"xchunked", b"",
]  # fmt: skip
CODINGS = [
    b"gzip", b"x-gzip", b"deflate", b"br", b"zstd", b"identity", b"", b"gzip, gzip", b"deflate, gzip", b"GZIP", b"gzip,",
    b",".join([b"gzip"] * 50), b"\xff",
]  # fmt: skip
CHARSETS = [
    b"utf-8", b"UTF-16", b"utf-7", b"iso-8859-1", b"windows-1252", b"shift_jis", b"iso-2022-jp", b"hz", b"gb18030", b"punycode",
    b"unicode_escape", b"idna", b"base64", b"rot13", b"zlib", b"none-such", b'"utf-8"', b"'utf-8", b"", b"utf-8\x00", b"undefined",
    b"../../etc/passwd", b"\xc3\xa4", b"mbcs", b"utf_8_sig", b"raw_unicode_escape",
]  # fmt: skip
DATES = [
    b"Wed, 09 Jun 2031 10:18:14 GMT", b"Wed, 09 Jun 1999 10:18:14 GMT", b"Thu, 01 Jan 1970 00:00:00 GMT", b"0", b"-1", b"",
    b"Wed, 31 Feb 2031 10:18:14 GMT", b"Wed, 09 Jun 99999 10:18:14 GMT", b"09 Feb " + b"9" * 5000, b"Mon, 01 Jan 0001 00:00:00 +2359",
    b"Fri, 31 Dec 9999 23:59:59 -2359", b"1 1 1 1 1 1", b"09-Jun-31 10:18:14 PM", b"Wednesday, 09-Jun-31 10:18:14 GMT", b"\xff\xfe",
    b"Wed, 09 Jun 2031 25:61:61 GMT", b"Wed Jun  9 10:18:14 2031",
]  # fmt: skip
LOCATIONS = [
    b"/", b"/next?a=b#c", b"next", b"?x=1", b"#only", b"//other.example/x", b"http://other.example/", b"https://target.example/",
    b"http://target.example:81/x", b"ftp://other.example/", b"javascript:alert(1)", b"http://", b"http:///x", b"http://[::1]/",
    b"http://[::1", b"http://[fe80::1%\xc3\xa4]/", b"http://[fe80::1%25lo]/", b"http://h:99999/", b"http://h:x/", b"http://u:p@h/",
    b"http://b\xc3\xbccher.example/", b"http://\xff\xfe/", b"http://a b/", b"http://" + b"a" * 300 + b"/", b"http://xn--a/", b"/\xff\xfe%zz",
    b"http://h\\@evil/", b"http://h/\x01\x7f", b"http://.../", b"http://\xe2\x84\xab.example/", b"http://h?/#", b"..//../.", b" /padded ",
    b"http://127.0.0.1:65535/", b"HTTP://TARGET.EXAMPLE/", b"/" + b"x" * 5000, b"http://\xef\xbc\x8e/", b"http://a\xe3\x80\x82b:80/",
]  # fmt: skip
COOKIES = [
    b"a=b", b"a=", b"=b", b"a", b"", b";", b"a=b; Path=/", b"a=b; Path=/deep/er", b"a=b; Path=x", b"a=b; Domain=target.example",
    b"a=b; Domain=.example", b"a=b; Domain=com", b"a=b; Domain=", b"a=b; Secure", b"a=b; HttpOnly; SameSite=None", b"a=b; Max-Age=10",
    b"a=b; Max-Age=-10", b"a=b; Max-Age=0", b"a=b; Max-Age=" + b"9" * 400, b"a=b; Max-Age=\xb2", b"a=b; Max-Age=x", b'a="b; c"',
    b"a=" + b"x" * 5000, b"x" * 5000 + b"=a", b"a=b=c==", b"a=\xc3\xa4\xff", b"a=b\tc", b"a\x80=b", b"a=b; ; ;=;=x;Path", b"$Version=1",
]  # fmt: skip
DELAYS = [b"0", b"1", b"120", b"-1", b"1.5", b"9" * 12, b"1e9", b"\xb2", b"", b"soon"]
DOCUMENTS = [
    b"", b"ok", b"{}", b"[]", b"null", b'{"token": "abc", "items": [{"id": 1}, {"id": 2}]}', b'{"token": 1e999}', b'"\\ud800"',
    b"9" * 5000, b"[" * 3000, b'{"a":' * 2000, b"{", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"NaN", b'{"a": 1} trailing',
    b"<html></html>", b"\x00" * 64, b'{"items": {"id": []}}', b'{"token": null}', b'{"token": "\xff"}', b"1" * 4200,
]  # fmt: skip
NOTABLE = [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\x00", b":", b" ", b"\t", b";", b",", b"=", b"0", b"-1", b"\xff", b"\x80", b"HTTP/1.1 ",
           b"0\r\n\r\n", b"chunked", b"Content-Length: ", b"\x1f\x8b\x08", b"f" * 17, b"%", b"[", b"\x7f", b"\xc3", b"9" * 30]  # fmt: skip


def odd_response(rng: Random) -> bytes:
    """The bytes of one input, and perhaps of something behind it."""
    kind = rng.random()
    if kind < 0.04:
        return rng.randbytes(int(rng.expovariate(1 / 200)))
    data = response(rng)
    if kind < 0.08:
        return data + rng.randbytes(rng.randrange(1, 40))
    if kind < 0.12:
        return data[: rng.randrange(len(data) + 1)]
    if kind < 0.16:
        return data + response(rng)
    if kind > 0.55:
        return data
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6, 20))):
        data = mutated(rng, data)
    return data


def response(rng: Random) -> bytes:
    """A response that is valid or nearly so."""
    choice, chance = rng.choice, rng.random
    body = _body(rng)
    fields: list[bytes] = []
    coding = b""
    if chance() < 0.25:
        coding = choice(CODINGS)
        if chance() < 0.8:
            body = _coded(rng, body, coding)
        fields.append(b"Content-Encoding: " + coding)
    framing = chance()
    if framing < 0.45:
        fields.append(b"Content-Length: %d" % len(body))
    elif framing < 0.75:
        fields.append(b"Transfer-Encoding: chunked")
        body = _chunked(rng, body)
    elif framing < 0.82:
        fields.append(b"Content-Length: " + choice(LENGTHS))
    elif framing < 0.87:
        fields.append(b"Transfer-Encoding: " + choice(FRAMINGS))
        body = _chunked(rng, body)
    elif framing < 0.90:
        fields += [b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"]
        body = _chunked(rng, body)
    fields += [_field(rng) for _ in range(rng.randrange(4))]
    rng.shuffle(fields)
    end = CRLF if chance() < 0.97 else b"\n"
    head = end.join([choice(STATUS_LINES), *fields, b"", b""])
    before = b""
    if chance() < 0.08:
        before = choice(
            [
                CRLF,
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Hint\r\nLink: </x>\r\n\r\n" * rng.randrange(1, 150),
            ]
        )
    return before + head + body


def mutated(rng: Random, data: bytes) -> bytes:
    """The bytes with one change."""
    if not data:
        return rng.choice(NOTABLE)
    at = rng.randrange(len(data))
    # The header decides more than what follows it, but a broken status line hides all the rest.
    where = rng.random()
    if where < 0.4:
        at = min(at, rng.randrange(min(len(data), 120)))
    if where > 0.1:
        at = max(at, min(len(data) - 1, 15))
    end = min(len(data), at + rng.choice((1, 1, 2, 4, 16, 64)))
    change = rng.randrange(8)
    if change == 0:
        return data[:at] + bytes((rng.randrange(256),)) + data[at + 1 :]
    if change == 1:
        return data[:at] + bytes((data[at] ^ (1 << rng.randrange(8)),)) + data[at + 1 :]
    if change == 2:
        return data[:at] + data[end:]
    if change == 3:
        return data[:at] + rng.choice(NOTABLE) + data[at:]
    if change == 4:
        return data[:at] + rng.choice(NOTABLE) + data[end:]
    if change == 5:
        return data[:end] + data[at:end] * rng.randrange(1, 4) + data[end:]
    if change == 6:
        other = rng.randrange(len(data))
        return data[:at] + data[other : other + end - at] + data[end:]
    return data[:at]


def _body(rng: Random) -> bytes:
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(DOCUMENTS)
    if kind < 0.8:
        return json.dumps(
            {"token": rng.random(), "items": [{"id": n} for n in range(rng.randrange(30))]}
        ).encode()
    if kind < 0.98:
        return rng.randbytes(rng.randrange(300))
    return rng.randbytes(8) * rng.randrange(4000)


def _coded(rng: Random, body: bytes, coding: bytes) -> bytes:
    if b"gzip" in coding.lower():
        packed = gzip.compress(body, 1, mtime=0)
        kind = rng.random()
        if kind < 0.05:
            return packed * rng.randrange(1, 1200)
        if kind < 0.10:
            return gzip.compress(b"\0" * 300_000, 1, mtime=0)
        if kind < 0.15:
            return packed + rng.randbytes(rng.randrange(20))
        return packed if coding.count(b"gzip") == 1 else gzip.compress(packed, 1, mtime=0)
    return zlib.compress(body, 1) if rng.random() < 0.6 else zlib.compress(body, 1)[2:-4]


def _chunked(rng: Random, body: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    size = rng.choice((1, 7, 100, 100_000))
    if len(body) > 500 * size:
        size = len(body)
    while at < len(body):
        piece = body[at : at + size]
        extension = b";x=y" if rng.random() < 0.05 else b""
        pieces.append(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece))
        at += size
    trailers = b"Sum: 1\r\nX: y\r\n" if rng.random() < 0.1 else b""
    return b"".join(pieces) + b"0\r\n" + trailers + CRLF


def _field(rng: Random) -> bytes:
    choice = rng.choice
    kind = min(rng.randrange(12), rng.randrange(20))
    if kind == 0:
        return (
            b"Content-Type: "
            + choice((b"text/html", b"application/json", b"x"))
            + b"; charset="
            + choice(CHARSETS)
        )
    if kind <= 2:
        cookie = choice(COOKIES)
        return b"Set-Cookie: " + (cookie + b"; expires=" + choice(DATES) if rng.random() < 0.4 else cookie)
    if kind <= 4:
        return b"Location: " + choice(LOCATIONS)
    if kind == 5:
        return b"Retry-After: " + choice(choice((DELAYS, DATES)))
    if kind == 6:
        return b"Connection: " + choice((b"close", b"keep-alive", b"Close, x", b"upgrade", b"\xff", b""))
    if kind == 7:
        return choice(
            (b"Upgrade: websocket", b"Trailer: Sum", b"Date: " + choice(DATES), b"Keep-Alive: timeout=0")
        )
    if kind == 8:
        return (
            b"X-"
            + rng.randbytes(3).hex().encode()
            + b": "
            + rng.randbytes(rng.randrange(20)).replace(b"\n", b"")
        )
    if kind == 9:
        return choice(
            (
                b"X: " + b"y" * rng.randrange(3000),
                b"X:" + b"z" * 70_000 if rng.random() < 0.05 else b"X:",
                b"X",
            )
        )
    if kind == 10:
        return choice(
            (b" folded", b"\tfolded", b"X : y", b": y", b"X\x00: y", b"X: \x00", b"\xff: y", b"X: a\rb")
        )
    return b"Content-Length: " + choice(LENGTHS)
