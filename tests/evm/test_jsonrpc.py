"""Calls and answers as bytes: what is sent is JSON-RPC, and what is no answer to it is refused."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.evm.node.jsonrpc import (
    Envelope,
    ErrorObject,
    MalformedError,
    batch_body,
    call_body,
    read_answer,
    read_batch,
)
from squall_runner.http import parse_url, render_headers

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.text(min_size=1), st.lists(JSON, max_size=3)), min_size=1, max_size=4))
def test_what_is_sent_says_what_was_called(calls):
    bodies = [call_body(number, method, params) for number, (method, params) in enumerate(calls)]
    expected = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    assert json.loads(bodies[0]) == expected[0]
    assert json.loads(batch_body(bodies)) == expected


class Block(msgspec.Struct):
    number: str


def test_an_answer_is_read_into_what_is_wanted():
    body = b'{"jsonrpc":"2.0","result":{"number":"0x1","more":[1,{}]},"id":5,"extra":1}'
    assert read_answer(body, 5, Block | None).result == Block("0x1")
    assert read_answer(b'{"id":5,"result":null}', 5, Block | None).result is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"upstream connect error",
        b"[]",
        b"null",
        b'{"id":5}',
        b'{"id":5,"result":{"number":"0x1"',
        b'{"id":6,"result":{"number":"0x1"}}',
        b'{"id":null,"result":{"number":"0x1"}}',
        b'{"result":{"number":"0x1"}}',
        b'{"id":"5","result":{"number":"0x1"}}',
        b'{"id":5,"result":{"number":1}}',
        b'{"id":5,"result":"0x1"}',
        b'{"id":6,"error":{"code":1,"message":"of another call"}}',
        b'{"id":5,"result":{"number":"\xff"}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_to_the_call_is_refused(body):
    with pytest.raises(MalformedError):
        read_answer(body, 5, Block)


def test_an_error_without_an_id_is_that_of_the_only_call():
    assert read_answer(
        b'{"id":null,"error":{"code":-32700,"message":"parse error"}}', 5, Block
    ).error == ErrorObject(-32700, "parse error")


def test_answers_of_a_batch_are_found_by_id_whatever_their_order():
    found = read_batch(b' [{"id":2,"result":"b"},{"id":1,"error":{"code":1,"message":"no"}},{"result":1}]')
    assert isinstance(found, dict)
    assert read_answer(found[2], 2, str).result == "b"
    assert read_answer(found[1], 1, str).error == ErrorObject(1, "no")
    assert read_batch(b'{"id":null,"error":{"code":-32600,"message":"no batches"}}') == ErrorObject(
        -32600, "no batches"
    )
    for body in (b"", b"7", b'{"id":1,"result":2}', b"[1]", b'[{"id":1}'):
        with pytest.raises(MalformedError):
            read_batch(body)


@pytest.mark.parametrize("size", [10, 65_536, 65_537, 200_000])
def test_a_request_is_one_post_whatever_its_size(size):
    origin, target = parse_url("http://127.0.0.1:8545/v3/key?x=1")
    envelope = Envelope(origin, target, render_headers(origin, [("X-Key", "k")]))
    body = b"x" * size
    for repeatable in (True, False):
        request = envelope.request(body, repeatable=repeatable)
        assert request.idempotent is repeatable
        wire = request.wire or request.head + b"\r\n" + body
        head, _, rest = wire.partition(b"\r\n\r\n")
        assert rest == body
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /v3/key?x=1 HTTP/1.1"
        assert f"Content-Length: {size}" in lines
        assert {"Host: 127.0.0.1:8545", "X-Key: k"} < set(lines)
        assert request.wire is None or wire[: request.split] + b"\r\n" + body == wire
