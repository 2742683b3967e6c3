"""Each way to get `spec.evm` and the steps on it wrong: where it is reported, what is said, what is advised."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.problems import load, manifest, marked, problem_of, problems_of

from squall.spec.interfaces import read_interface
from squall.spec.signatures import AbiError, from_text

CONTRACT = (
    "{name: token, address: '0x00000000000000000000000000000000000000aa', signatures: "
    "['function mint(address to, uint256 n) returns (bool)', 'function set(uint256)', 'function set(bool)', "
    "'event Done(uint256 indexed id, address who)']}"
)
CHAIN = "endpoints: [{name: a, url: 'http://h:8545'}]"
EVM = f"evm: {{{CHAIN}, contracts: [{CONTRACT}], wallets: {{seed: s}}}}"
STEPS = "scenarios: [{{name: a, executor: constant-vus, vus: 1, duration: 1m, steps: [{}]}}]"
STEP = "spec.scenarios[0].steps[0]"
SECRET = {"x": "11" * 32}
NOTHING = "{think: {duration: 1s}}"

# spec, step, path, a part of the message, a part of the hint; » marks the place
CASES = {
    "an endpoint that is none": (
        "evm: {endpoints: [{name: a, url: »'ftp://h'}]}",
        NOTHING,
        "spec.evm.endpoints[0].url",
        "is not the URL of an endpoint",
        "begin it with http:// or https://",
    ),
    "a socket that is none": (
        "evm: {endpoints: [{name: a, url: 'http://h', webSocket: »'http://h'}]}",
        NOTHING,
        "spec.evm.endpoints[0].webSocket",
        "is not the URL of an endpoint",
        "ws:// or wss://",
    ),
    "an endpoint that depends on the VU": (
        "evm: {endpoints: [{name: a, url: »'http://h/${vu}'}]}",
        NOTHING,
        "spec.evm.endpoints[0].url",
        "there is no 'vu' here",
        "known here: run, var",
    ),
    "two endpoints of one name": (
        "evm: {endpoints: [{name: a, url: 'http://h'}, {name: »a, url: 'http://i'}]}",
        NOTHING,
        "spec.evm.endpoints[1].name",
        'the endpoint "a" is there twice',
        "rename",
    ),
    "an amount that is none": (
        f"evm: {{{CHAIN}, wallets: {{seed: s}}, funding: {{keys: ['${{var.x}}'], amount: »1 eth}}}}",
        NOTHING,
        "spec.evm.funding.amount",
        "is not an amount",
        "0.1 ether",
    ),
    "a key in the open that is none": (
        f"evm: {{{CHAIN}, wallets: {{seed: s}}, funding: {{keys: [»'0x12']}}}}",
        NOTHING,
        "spec.evm.funding.keys[0]",
        "this is no private key",
        "a variable from a Secret",
    ),
    "wallets filled again before they are empty": (
        f"evm: {{{CHAIN}, wallets: {{seed: s}}, funding: {{keys: ['${{var.x}}'], amount: '1', refillBelow: »'2'}}}}",
        NOTHING,
        "spec.evm.funding.refillBelow",
        "less than this right after",
        "less than amount",
    ),
    "funding of nobody": (
        f"evm: {{{CHAIN}, »funding: {{keys: ['${{var.x}}']}}}}",
        NOTHING,
        "spec.evm.funding",
        "there are no wallets to be funded",
        "add evm.wallets",
    ),
    "fewer wallets than shards": (
        f"shards: 4\nevm: {{{CHAIN}, wallets: {{seed: s, count: »3}}}}",
        NOTHING,
        "spec.evm.wallets.count",
        "3 wallets are not enough for 4 shards",
        "use fewer shards",
    ),
    "an ABI that is none": (
        f"files: [{{name: f, inline: '[1]'}}]\nevm: {{{CHAIN}, contracts: [{{name: c, abi: »f}}]}}",
        NOTHING,
        "spec.evm.contracts[0].abi",
        "is no ABI: an entry of the ABI is 1",
        "write an object as compilers do",
    ),
    "a file that is not there": (
        f"evm: {{{CHAIN}, contracts: [{{name: c, abi: »f}}]}}",
        NOTHING,
        "spec.evm.contracts[0].abi",
        'there is no file "f"',
        "spec.files",
    ),
    "a signature that is none": (
        f"evm: {{{CHAIN}, contracts: [{{name: c, signatures: [»'function f(uint7)']}}]}}",
        NOTHING,
        "spec.evm.contracts[0].signatures[0]",
        "the signature 'function f(uint7)': 'uint7' is not a type of the ABI",
        "types are address, bool",
    ),
    "keys that are none": (
        f"files: [{{name: f, inline: 'abc'}}]\nevm: {{{CHAIN}, wallets: {{keys: »f}}}}",
        NOTHING,
        "spec.evm.wallets.keys",
        "line 1 of it is no private key",
        "64 hexadecimal digits",
    ),
    "a gas limit of no contract": (
        f"evm: {{{CHAIN}, contracts: [{CONTRACT}], gas: {{limits: {{»tokn.mint: 5}}}}}}",
        NOTHING,
        'spec.evm.gas.limits["tokn.mint"]',
        'there is no contract "tokn"; did you mean "token"?',
        "contracts: token",
    ),
    "a tip of a legacy transaction": (
        f"evm: {{{CHAIN}, fees: {{type: legacy, »priorityFee: 1 gwei}}}}",
        NOTHING,
        "spec.evm.fees.priorityFee",
        "has a gas price and nothing else",
        "write it as maxFee",
    ),
    "a step without a chain": (
        "",
        "{»evm: {rpc: {method: eth_chainId}}}",
        f"{STEP}.evm",
        "there is no chain to act on",
        "spec.evm",
    ),
    "a transaction of nobody": (
        f"evm: {{{CHAIN}}}",
        "{evm: {»transaction: {to: '0x00000000000000000000000000000000000000aa'}}}",
        f"{STEP}.evm.transaction",
        "a transaction is sent by the VU's wallet, and there are none",
        "evm.wallets",
    ),
    "a function that there is not": (
        EVM,
        "{evm: {call: {contract: token, function: »mnit}}}",
        f"{STEP}.evm.call.function",
        'the contract has no function "mnit"; did you mean "mint"?',
        "functions: mint, set",
    ),
    "a function of several": (
        EVM,
        "{evm: {call: {contract: token, function: »set, args: [1]}}}",
        f"{STEP}.evm.call.function",
        'several functions are named "set"',
        "set(uint256), set(bool)",
    ),
    "too few arguments": (
        EVM,
        "{evm: {call: {contract: token, function: mint, »args: [1]}}}",
        f"{STEP}.evm.call.args",
        "mint takes 2 arguments: mint(address,uint256), and 1 are given",
        "one value for each",
    ),
    "an argument of another name": (
        EVM,
        "{evm: {call: {contract: token, function: mint, args: {to: x, »m: 1}}}}",
        f"{STEP}.evm.call.args.m",
        'mint has no argument "m"',
        "arguments: n, to",
    ),
    "a contract that there is not": (
        EVM,
        "{evm: {call: {contract: »tokn, function: mint, to: '${wallet.address}'}}}",
        f"{STEP}.evm.call.contract",
        'there is no contract "tokn"; did you mean "token"?',
        "contracts: token",
    ),
    "a name without a contract": (
        EVM,
        "{evm: {call: {to: '${wallet.address}', function: »mint}}}",
        f"{STEP}.evm.call.function",
        "without a contract, a name alone does not say",
        "write its signature",
    ),
    "a contract that is nowhere": (
        f"evm: {{{CHAIN}, contracts: [{{name: c, signatures: ['function f()']}}]}}",
        "{evm: {call: {contract: »c, function: f}}}",
        f"{STEP}.evm.call.contract",
        'nothing says where the contract "c" is',
        "${c.address}",
    ),
    "a contract where nothing was deployed": (
        f"evm: {{{CHAIN}, contracts: [{{name: c, address: »'${{made.address}}', signatures: ['function f()']}}]}}",
        "{evm: {call: {contract: c, function: f}}}",
        "spec.evm.contracts[0].address",
        "there is no 'made' here",
        "known here",
    ),
    "an address that is mistyped": (
        EVM,
        "{evm: {transaction: {to: »'0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD', value: '1'}}}",
        f"{STEP}.evm.transaction.to",
        'the capitals of "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD" do not match its digits',
        "if every digit is right, write 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    ),
    "an address that is none": (
        EVM,
        "{evm: {transaction: {to: »'0x12'}}}",
        f"{STEP}.evm.transaction.to",
        '"0x12" is no address',
        "40 hexadecimal digits",
    ),
    "a deployment without code": (
        EVM,
        "{evm: {deploy: {contract: »token}}}",
        f"{STEP}.evm.deploy.contract",
        "nothing says what the contract's bytecode is",
        "write bytecode here",
    ),
    "a deployment of code that lacks a library": (
        (
            'files: [{name: f, inline: \'{"abi": [], "bytecode": "0x60__lib__"}\'}]\n'
            f"evm: {{{CHAIN}, contracts: [{{name: c, abi: f}}], wallets: {{seed: s}}}}"
        ),
        "{evm: {deploy: {contract: »c}}}",
        f"{STEP}.evm.deploy.contract",
        "the bytecode lacks the address of a library",
        "link it",
    ),
    "a signature of something else": (
        EVM,
        "{evm: {waitEvent: {contract: token, event: »'function Done(uint256, address)'}}}",
        f"{STEP}.evm.waitEvent.event",
        "is the signature of a function",
        "write event Done(uint256,address)",
    ),
    "an event's argument that there is not": (
        EVM,
        "{evm: {waitEvent: {contract: token, event: Done, where: {»ID: 1}}}}",
        f"{STEP}.evm.waitEvent.where.ID",
        'Done(uint256,address) has no argument "ID"; did you mean "id"?',
        "arguments: id, who",
    ),
    "extracting what an event has not": (
        EVM,
        "{evm: {waitEvent: {contract: token, event: Done, extract: {x: »no}}}}",
        f"{STEP}.evm.waitEvent.extract.x",
        'has no argument "no"',
        "arguments: id, who",
    ),
    "a condition on something unknown": (
        EVM,
        "{evm: {waitEvent: {contract: token, event: Done, condition: »evnt.args.id > 1}}}",
        f"{STEP}.evm.waitEvent.condition",
        "there is no 'evnt' here",
        "event",
    ),
    "what an event has not, in a condition": (
        EVM,
        "{evm: {waitEvent: {contract: token, event: Done, condition: »event.arg.id > 1}}}",
        f"{STEP}.evm.waitEvent.condition",
        "'event' has no 'arg'",
        "did you mean 'args'?",
    ),
    "an event's argument that there is not, in a condition": (
        EVM,
        "{evm: {waitEvent: {contract: token, event: Done, condition: »event.args.whom == wallet.address}}}",
        f"{STEP}.evm.waitEvent.condition",
        "'event.args' has no 'whom'",
        "did you mean 'who'?",
    ),
    "what a transaction's result has not": (
        EVM,
        "{evm: {transaction: {to: '${wallet.address}', result: sent}}}, {set: {a: »'${sent.hsah}'}}",
        "spec.scenarios[0].steps[1].set.a",
        "'sent' has no 'hsah'",
        "did you mean 'hash'?",
    ),
    "what is not known of a transaction that is only accepted": (
        EVM,
        "{evm: {transaction: {to: '${wallet.address}', wait: accepted, result: sent}}}, {set: {a: »'${sent.block}'}}",
        "spec.scenarios[0].steps[1].set.a",
        "'sent' has no 'block'",
        "known here: hash, nonce",
    ),
    "what an event's result has not": (
        EVM,
        "{evm: {waitEvent: {contract: token, event: Done, result: seen}}}, {check: {a: »seen.id > 1}}",
        "spec.scenarios[0].steps[1].check.a",
        "'seen' has no 'id'",
        "known here: address, args, block, hash, name",
    ),
    "what a receipt has not": (
        EVM,
        "{evm: {waitReceipt: {hash: '${run.id}', result: seen}}}, {check: {a: »seen.nonce > 1}}",
        "spec.scenarios[0].steps[1].check.a",
        "'seen' has no 'nonce'",
        "known here: block, events, fee, gasUsed, hash, status",
    ),
    "what a wallet has not": (
        EVM,
        "{set: {a: »'${wallet.adress}'}}",
        f"{STEP}.set.a",
        "'wallet' has no 'adress'",
        "did you mean 'address'?",
    ),
    "what a wallet has not, of a name in brackets": (
        EVM,
        "{check: {a: »\"wallet['key'] == ''\"}}",
        f"{STEP}.check.a",
        "'wallet' has no 'key'",
        "known here: address, index, publicKey",
    ),
    "a block that is none": (
        EVM,
        "{evm: {call: {contract: token, function: mint, args: [a, 1], block: »newest}}}",
        f"{STEP}.evm.call.block",
        '"newest" is no block',
        "latest",
    ),
    "typed data without types": (
        EVM,
        "{evm: {sign: {result: s, »typedData: {domain: {}, message: {}}}}}",
        f"{STEP}.evm.sign.typedData",
        "needs types, primaryType",
        "primaryType",
    ),
    "a result that is the wallet": (
        EVM,
        "{evm: {balance: {»result: wallet}}}",
        f"{STEP}.evm.balance.result",
        "'wallet' is the wallet of spec.evm.wallets",
        "another name",
    ),
    "encrypting with nobody's wallet": (
        "",
        "{encrypt: {data: x, »message: m, result: r}}",
        f"{STEP}.encrypt.message",
        "this is signed by the VU's wallet, and there are none",
        "evm.wallets",
    ),
    "too little data": (
        "",
        "{generate: {size: »100, result: r}}",
        f"{STEP}.generate.size",
        "512 bytes at least",
        "write 512 or more",
    ),
    "a wallet where there is none": (
        "",
        "{set: {mine: »'${wallet.address}'}}",
        f"{STEP}.set.mine",
        "there is no 'wallet' here",
        "known here",
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_wrong(name: str) -> None:
    spec, step, path, message, hint = CASES[name]
    spec = f"variables: [{{name: x, secret: {{name: s, key: k}}}}]\n{spec}"
    text, place = marked(manifest(spec, STEPS.format(step)))
    problem = problem_of(text, variables=SECRET)
    assert (problem.line, problem.column) == place, problem.render()
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint


def test_all_is_told_at_once() -> None:
    steps = "{evm: {transaction: {to: no, value: 1x}}}, {evm: {call: {contract: c, function: f}}}"
    spec = "evm: {endpoints: [{name: a, url: no}], pollInterval: 0s}"
    assert len(problems_of(manifest(spec, STEPS.format(steps)))) == 6


def test_a_secret_may_stand_in_what_is_signed_with_and_sent_but_not_in_what_is_shown() -> None:
    secret = "variables: [{name: x, secret: {name: s, key: k}}]\n"
    right = (
        "evm: {endpoints: [{name: a, url: 'http://h/${var.x}', headers: {K: '${var.x}'}}], wallets: {seed: '${var.x}'}, "
        "funding: {keys: ['${var.x}']}}"
    )
    steps = (
        "{evm: {call: {to: '0x00000000000000000000000000000000000000aa', function: 'f(string)', args: ['${var.x}']}}}, "
        "{encrypt: {data: d, password: '${var.x}', result: r}}"
    )
    assert load(manifest(secret + right, STEPS.format(steps)), variables=SECRET).name == "shop"
    wrong = "{encrypt: {data: '${var.x}', password: p, result: r}}"
    problem = problem_of(manifest(secret + right, STEPS.format(wrong)), variables=SECRET)
    assert "cannot be used here" in problem.message


def test_the_address_of_a_contract_may_come_from_setup() -> None:
    spec = (
        f"evm: {{{CHAIN}, wallets: {{seed: s}}, contracts: [{{name: c, address: '${{made.address}}', "
        "signatures: ['function f()']}]}\n"
        "setup: {steps: [{evm: {deploy: {contract: c, bytecode: '0x00', result: made}}}]}"
    )
    step = "{evm: {call: {contract: c, function: f}}}"
    assert load(manifest(spec, STEPS.format(step))).name == "shop"


def test_a_name_of_ones_own_may_hold_anything() -> None:
    steps = (
        "{set: {event: 1}}, {evm: {waitEvent: {address: '0x00000000000000000000000000000000000000aa', "
        "event: 'E(uint256)', condition: \"event.args.anything == wallet['index']\"}}}, {check: {a: event.x == 1}}"
    )
    assert load(manifest(EVM, STEPS.format(steps))).name == "shop"
    no_wallets = "{set: {wallet: 'w'}}, {check: {a: 'wallet.colour == 1'}}"
    assert load(manifest(f"evm: {{{CHAIN}}}", STEPS.format(no_wallets))).name == "shop"


TYPES = st.recursive(
    st.sampled_from(["uint256", "uint8", "int16", "address", "bool", "string", "bytes", "bytes32"]),
    lambda inner: st.one_of(
        inner.map(lambda one: f"{one}[]"),
        inner.map(lambda one: f"{one}[3]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda several: f"({','.join(several)})"),
    ),
    max_leaves=6,
)


@given(st.lists(TYPES, max_size=5))
def test_a_signature_says_the_same_however_it_is_written(types: list[str]) -> None:
    plain = from_text(f"f({','.join(types)})")
    named = ", ".join(f"{kind} memory a{number}" for number, kind in enumerate(types))
    written = from_text(f"function f({named}) external view returns (uint256 x);")
    assert plain.signature == written.signature == f"f({','.join(types)})"
    assert written.names == tuple(f"a{number}" for number in range(len(types)))


@given(st.text(max_size=60))
def test_any_text_is_a_signature_or_refused(text: str) -> None:
    with suppress(AbiError):
        assert from_text(text).kind


@given(st.binary(max_size=60))
def test_any_file_is_an_abi_or_refused(content: bytes) -> None:
    with suppress(AbiError):
        read_interface(content)
