"""Calldata, results, logs and reverts: right beside eth-abi, and with messages that help where values are wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.evm.contracts.abi import Abi, AbiError, Event, Function
from squall_runner.evm.contracts.artifacts import parse_bytecode
from squall_runner.evm.signing.hexes import to_hex
from squall_runner.evm.signing.keccak import keccak256
from squall_runner.evm.signing.keys import checksummed

OWNER = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
WORDS = [
    "function add(string url, address owner, tuple(address account, string key)[] permissions) payable returns (uint256)",
    "function get(uint256 id) view returns (string url, address owner, bytes32 mark, tuple(uint8 kind, bytes data)[] parts)",
    "function get(address owner)",
    "event Added(uint256 indexed id, address indexed owner, string indexed topic, string url, bool)",
    "error Short(uint256 available, address who)",
    "constructor(address owner)",
]
ABI = Abi.parse(WORDS)

JSON_ABI = [
    {
        "type": "function",
        "name": "add",
        "stateMutability": "payable",
        "inputs": [
            {"name": "url", "type": "string", "internalType": "string"},
            {"name": "owner", "type": "address"},
            {
                "name": "permissions",
                "type": "tuple[]",
                "internalType": "struct Registry.Permission[]",
                "components": [{"name": "account", "type": "address"}, {"name": "key", "type": "string"}],
            },
        ],
        "outputs": [{"name": "", "type": "uint256"}],
    },
    {
        "type": "constructor",
        "inputs": [{"name": "owner", "type": "address"}],
        "stateMutability": "nonpayable",
    },
    {"type": "event", "name": "E", "inputs": [{"name": "who", "type": "address", "indexed": True}]},
    {"type": "receive", "stateMutability": "payable"},
    {
        "name": "old",
        "constant": True,
        "inputs": [],
        "outputs": [{"name": "", "type": "uint8"}],
        "type": "function",
    },
]

# Types, what a manifest may give for them, and what comes back.
elementary: dict[str, st.SearchStrategy[tuple[Any, Any]]] = {
    "uint256": st.integers(0, 2**256 - 1).flatmap(
        lambda n: st.sampled_from([n, str(n), hex(n)]).map(lambda v: (v, n))
    ),
    "int16": st.integers(-(2**15), 2**15 - 1).flatmap(
        lambda n: st.sampled_from([n, str(n)]).map(lambda v: (v, n))
    ),
    "bool": st.booleans().map(lambda b: (b, b)),
    "string": st.text(max_size=40).map(lambda text: (text, text)),
    "address": st.binary(min_size=20, max_size=20).flatmap(
        lambda b: st.sampled_from([b, to_hex(b), checksummed(b)]).map(lambda v: (v, checksummed(b)))
    ),
    "bytes": st.binary(max_size=70).flatmap(
        lambda b: st.sampled_from([b, to_hex(b)]).map(lambda v: (v, to_hex(b)))
    ),
    "bytes5": st.binary(min_size=5, max_size=5).map(lambda b: (to_hex(b), to_hex(b))),
}


def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Arrays and tuples of values, as (type, given, back)."""

    def array(one: tuple[str, Any, Any]) -> st.SearchStrategy[Any]:
        kind, given_value, back = one
        return st.integers(0, 3).flatmap(
            lambda n: st.sampled_from(["[]", f"[{n}]"] if n else ["[]"]).map(
                lambda suffix: (kind + suffix, [given_value] * n, [back] * n)
            )
        )

    def members(found: list[tuple[str, Any, Any]]) -> st.SearchStrategy[Any]:
        names = [f"m{position}" for position in range(len(found))]
        kind = "tuple(" + ",".join(f"{one[0]} {name}" for one, name in zip(found, names, strict=True)) + ")"
        as_list = [one[1] for one in found]
        as_mapping = dict(zip(names, as_list, strict=True))
        back = {name: one[2] for name, one in zip(names, found, strict=True)}
        return st.sampled_from([as_list, as_mapping]).map(lambda value: (kind, value, back))

    return inner.flatmap(array) | st.lists(inner, min_size=1, max_size=3).flatmap(members)


plain = st.sampled_from(sorted(elementary)).flatmap(
    lambda kind: elementary[kind].map(lambda pair: (kind, *pair))
)
values = st.recursive(plain, wrapped, max_leaves=6)


@given(st.lists(values, max_size=4))
def test_what_goes_into_calldata_comes_out_again(found: list[tuple[str, Any, Any]]) -> None:
    parameters = ", ".join(f"{kind} p{position}" for position, (kind, _, _) in enumerate(found))
    function = Function.parse(f"function f({parameters})")
    args = {f"p{position}": value for position, (_, value, _) in enumerate(found)}
    data = function.encode(args)
    assert data == function.encode(list(args.values()))
    assert data[:4] == keccak256(function.signature.encode())[:4]
    back = function.decode_arguments(data)
    assert list(back.values()) == [one for _, _, one in found]
    json.dumps(back)


def test_calldata_is_eth_abis() -> None:
    args = {
        "url": "ipfs://x",
        "owner": OWNER,
        "permissions": [{"account": OWNER, "key": "k"}, [OWNER.lower(), ""]],
    }
    expected = eth_abi.encode(
        ["string", "address", "(address,string)[]"], ["ipfs://x", OWNER, [(OWNER, "k"), (OWNER, "")]]
    )
    assert (
        ABI.function("add").encode(args)
        == keccak256(b"add(string,address,(address,string)[])")[:4] + expected
    )
    assert ABI.constructor.encode([OWNER]) == eth_abi.encode(["address"], [OWNER])
    # https://docs.soliditylang.org/en/latest/abi-spec.html#examples
    assert (
        Function.parse("baz(uint32,bool)").encode([69, True]).hex() == "cdcd77c0" + f"{69:064x}" + f"{1:064x}"
    )


def test_compilers_json_and_words_are_the_same_interface() -> None:
    for source in (
        JSON_ABI,
        json.dumps(JSON_ABI),
        {"abi": JSON_ABI},
        json.dumps({"abi": json.dumps(JSON_ABI)}),
    ):
        abi = Abi.parse(source)
        args = ["u", OWNER, []]
        assert abi.function("add").encode(args) == ABI.function("add").encode(args)
        assert abi.constructor.encode([OWNER]) == ABI.constructor.encode([OWNER])
        assert abi.function("add").payable
        assert not abi.function("add").constant
        assert abi.function("old").constant
        assert abi.event("E").topic == to_hex(keccak256(b"E(address)"))
        assert abi.bytecode is None


def test_lines_of_a_text_are_signatures_too() -> None:
    abi = Abi.parse("// a comment\nfunction f(uint a) external pure;\n\nerror(string) returns (int)\n")
    assert abi.function("f").signature == "f(uint256)"
    assert abi.function("error").signature == "error(string)"
    assert Abi.parse([]).constructor.encode() == b""


@pytest.mark.parametrize(
    "artifact",
    [
        {"abi": [], "bytecode": "0x6001"},
        {"abi": [], "bytecode": {"object": "0x6001"}},
        {"abi": [], "evm": {"bytecode": {"object": "6001"}}},
        {"abi": [], "bin": "6001"},
    ],
)
def test_the_code_comes_with_an_artifact(artifact: dict[str, Any]) -> None:
    assert Abi.parse(artifact).bytecode == parse_bytecode(json.dumps(artifact)) == b"\x60\x01"
    assert parse_bytecode(" 0x6001\n") == b"\x60\x01"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0x", "no bytecode"),
        ('{"abi": [], "bytecode": "0x"}', "no bytecode"),
        ("60xx", "not hexadecimal"),
        ('{"abi": [], "bytecode": "0x60__$f00d$__"}', "library"),
        ('{"abi": [], "bytecode": {"object": 5}}', "not text"),
        ('{"abi"', "not JSON"),
    ],
)
def test_code_that_cannot_be_deployed_is_refused(text: str, said: str) -> None:
    with pytest.raises(AbiError, match=said):
        parse_bytecode(text)


def test_overloads_are_told_apart_by_their_signature() -> None:
    assert ABI.function("get(uint)").signature == "get(uint256)"
    assert ABI.function("function get(address owner)").signature == "get(address)"
    with pytest.raises(AbiError, match="several functions 'get'") as caught:
        ABI.function("get")
    assert "get(uint256), get(address)" in caught.value.hint
    with pytest.raises(AbiError, match="no function 'put'") as caught:
        ABI.function("put")
    assert "add(string,address,(address,string)[])" in caught.value.hint


def test_results_come_back_in_order() -> None:
    get = ABI.function("get(uint256)")
    data = eth_abi.encode(
        ["string", "address", "bytes32", "(uint8,bytes)[]"], ["u", OWNER, b"\1" * 32, [(3, b"\xff")]]
    )
    values = ["u", OWNER, "0x" + "01" * 32, [{"kind": 3, "data": "0xff"}]]
    assert get.decode(data) == values
    assert ABI.function("get(address)").decode(b"") == []


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "gave no result"), (b"\1" * 31, "31 bytes"), (b"\xff" * 160, "not")]
)
def test_results_that_are_none_are_said(data: bytes, said: str) -> None:
    with pytest.raises(AbiError, match=said):
        ABI.function("get(uint256)").decode(data)


@pytest.mark.parametrize(
    ("args", "said", "hint"),
    [
        (["u", OWNER], "add: args .* has 2 values", "give 3, in this order: url, owner, permissions"),
        (
            {"url": "u", "owner": OWNER, "perms": []},
            "has no permissions and has an unknown perms",
            "url, owner",
        ),
        ("u", "add: args .* is 'u'", "list of 3 values"),
        ([5, OWNER, []], r"argument url \(string\) is 5", "quotes"),
        (["u", OWNER[:-1], []], r"argument owner \(address\) is '0x9d8A", "40 hexadecimal digits"),
        (["u", OWNER.replace("8A", "8a"), []], "argument owner", "mistyped"),
        (["u", OWNER[2:], []], "argument owner", "0x"),
        (["u", OWNER, {}], r"argument permissions \(address,string\)\[\] is \{\}", "list"),
        (["u", OWNER, [[OWNER, 1]]], r"permissions\[0\].key \(string\) is 1", "quotes"),
        (
            ["u", OWNER, [{"account": OWNER}]],
            r"permissions\[0\] \(address,string\) has no key",
            "account, key",
        ),
    ],
)
def test_an_argument_that_does_not_fit_is_named(args: Any, said: str, hint: str) -> None:
    with pytest.raises(AbiError, match=said) as caught:
        ABI.function("add").encode(args)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "value", "hint"),
    [
        ("uint8", 256, "0 to 2^8 - 1"),
        ("uint8", "-1", "0 to 2^8 - 1"),
        ("int8", 128, "-2^7 to 2^7 - 1"),
        ("uint256", 2**256, "0 to 2^256 - 1"),
        ("uint256", 1.0, "whole number"),
        ("uint256", True, "whole number"),
        ("uint256", "1e18", "whole number"),
        ("uint256", None, "whole number"),
        ("bool", 1, "true or false"),
        ("bytes4", "0x0102", "has 2 bytes"),
        ("bytes4", b"12345", "has 5 bytes"),
        ("bytes", "0x123", "two hexadecimal digits"),
        ("bytes", "text", "two hexadecimal digits"),
        ("bytes", 5, "two hexadecimal digits"),
        ("uint8[2]", [1], "list of 2"),
    ],
)
def test_values_out_of_their_type_are_refused(kind: str, value: Any, hint: str) -> None:
    with pytest.raises(AbiError, match=r"f: argument x .* is ") as caught:
        Function.parse(f"f({kind} x)").encode([value])
    assert hint in caught.value.hint


def test_a_log_is_decoded_by_the_events_names() -> None:
    event = ABI.event("Added")
    topics = [event.topic, f"0x{7:064x}", "0x" + OWNER[2:].lower().rjust(64, "0"), "0x" + "ab" * 32]
    data = to_hex(eth_abi.encode(["string", "bool"], ["u", True]))
    told = {"id": 7, "owner": OWNER, "topic": "0x" + "ab" * 32, "url": "u", "4": True}
    assert event.decode(topics, data) == told
    assert list(event.decode(topics, data)) == list(told)
    assert ABI.log(topics, data) == ("Added", told)
    assert ABI.log(["0x" + "00" * 32], data) is None
    assert ABI.log(topics[:-1], data) is None
    assert ABI.log([], data) is None
    for wrong in ([], topics[:-1], ["0x" + "00" * 32, *topics[1:]]):
        with pytest.raises(AbiError, match="not one of Added"):
            event.decode(wrong, data)
    with pytest.raises(AbiError, match="a log of Added"):
        event.decode(topics, "0x")


def test_an_event_stands_in_words() -> None:
    transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert (
        Event.parse("event Transfer(address indexed from, address indexed to, uint256 value)").topic
        == transfer
    )
    with pytest.raises(AbiError, match="signature of a function"):
        Event.parse("Transfer(address,address,uint256)")
    with pytest.raises(AbiError, match="anonymous"):
        Event.parse("event Quiet(uint256) anonymous")


ERROR = Function.parse("Error(string)")
PANIC = Function.parse("Panic(uint256)")
SHORT = Function.parse("Short(uint256,address)")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it reverted without a reason"),
        (ERROR.encode(["not yours"]), "not yours"),
        (ERROR.encode([""]), "it reverted with an empty reason"),
        (ERROR.encode(["\x1b[2J"]), "\ufffd[2J"),
        (ERROR.encode(["x" * 5000]), "x" * 256),
        (PANIC.encode([0x11]), "panic 0x11: an arithmetic operation overflowed"),
        (PANIC.encode([0x99]), "panic 0x99: of an unknown code"),
        (SHORT.encode([2**70, OWNER]), f'Short(available={2**70}, who="{OWNER}")'),
        (SHORT.encode([1, OWNER])[:-1], "Short with arguments that are not Short(uint256,address)"),
        (b"\xde\xad\xbe\xef", "it reverted with 0xdeadbeef, which no error of the ABI explains"),
        (ERROR.selector, "it reverted with 0x08c379a0, which no error of the ABI explains"),
    ],
)
def test_the_reason_of_a_revert(data: bytes, text: str) -> None:
    assert ABI.error_text(data) == text


@given(st.binary(max_size=200), st.sampled_from([b"", ERROR.selector, PANIC.selector, SHORT.selector]))
def test_whatever_a_call_reverts_with_gives_one_line(data: bytes, selector: bytes) -> None:
    assert ABI.error_text(selector + data)
    assert len(ABI.error_text(selector + data)) < 400


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("f(uint257)", "'uint257' is not a type"),
        ("f(Person p)", "'Person' is not a type"),
        ("f(bytes33)", "'bytes33' is not a type"),
        ("f(uint256", "ends where a name, a comma or a closing"),
        ("f(uint256 a b)", "two names, 'a' and 'b'"),
        ("f(uint256[x] a)", r"has 'x' where '\]' must stand"),
        ("f(uint256) returns", "ends where '\\(' must stand"),
        ("f(uint256) -> int", "has '-' in it"),
        ("f(uint256) (", r"goes on with '\('"),
        ("(uint256)", r"has '\(' where a name must stand"),
        ("", "ends where a name must stand"),
        ("f" + "(" * 400, "nested more than 32 deep"),
    ],
)
def test_a_wrong_signature_says_where(signature: str, said: str) -> None:
    with pytest.raises(AbiError, match=said) as caught:
        Function.parse(signature)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("[", "not JSON"),
        ("{}", "without a list `abi`"),
        ({"contracts": {}}, "several contracts"),
        ([5], "an entry of the ABI is 5"),
        ([{"type": "function"}], "has type 'function' and name ''"),
        ([{"type": "thing", "name": "f"}], "has type 'thing'"),
        ([{"type": "function", "name": "f", "inputs": 5}], "parameters of f in the ABI are 5"),
        ([{"type": "function", "name": "f", "inputs": [5]}], "a parameter of f in the ABI is 5"),
        (
            [{"type": "function", "name": "f", "inputs": [{"type": "uint8[x]"}]}],
            r"a type of f ends in '\[x\]'",
        ),
        ([{"type": "function", "name": "f", "inputs": [{"type": "struct"}]}], "f: 'struct' is not a type"),
        (5, "the ABI is 5"),
    ],
)
def test_a_wrong_abi_is_refused(source: Any, said: str) -> None:
    with pytest.raises(AbiError, match=said) as caught:
        Abi.parse(source)
    assert caught.value.hint


@given(st.text(max_size=40) | st.text("f(uint8[]) ,tuple", max_size=30))
def test_any_text_is_a_signature_or_refused(text: str) -> None:
    with suppress(AbiError):
        assert Function.parse(text).signature
