"""What nodes say and what it means: each line is what a node really answers."""

import pytest

from squall_runner.evm.node.failures import Kind, RpcError, Wordings

SAID = [
    # geth
    (-32000, "already known", Kind.ALREADY_KNOWN),
    (-32000, "nonce too low: next nonce 5, tx nonce 4", Kind.NONCE_TOO_LOW),
    (-32000, "nonce too high", Kind.NONCE_TOO_HIGH),
    (-32000, "transaction underpriced: gas tip cap 1, minimum needed 1000000", Kind.UNDERPRICED),
    (-32000, "replacement transaction underpriced: new tx gas fee cap 1 < 2", Kind.REPLACEMENT_UNDERPRICED),
    (
        -32000,
        "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1",
        Kind.INSUFFICIENT_FUNDS,
    ),
    (-32000, "txpool is full", Kind.POOL_FULL),
    (-32000, "future transaction tries to replace pending", Kind.POOL_FULL),
    (-32000, "exceeds block gas limit", Kind.GAS_LIMIT),
    (-32000, "oversized data: transaction size 140117, limit 131072", Kind.INVALID),
    (-32000, "invalid jump destination", Kind.REVERTED),
    (-32000, "gas required exceeds allowance (30000000)", Kind.GAS_LIMIT),
    (-32000, "intrinsic gas too low: gas 20000, minimum needed 21000", Kind.INTRINSIC_GAS),
    (3, "execution reverted: not yours", Kind.REVERTED),
    (-32000, "invalid sender: invalid chain id for signer: have 5 want 1", Kind.CHAIN_MISMATCH),
    (-32601, "the method eth_getBlockReceipts does not exist/is not available", Kind.METHOD_UNKNOWN),
    (-32000, "header not found", Kind.SERVER_ERROR),
    (-32002, "request timed out", Kind.TIMEOUT),
    # reth
    (-32000, "max fee per gas less than block base fee: ...", Kind.UNDERPRICED),
    (-32003, "gapped-nonce tx from delegated accounts", Kind.NONCE_TOO_HIGH),
    (-32003, "txpool is full", Kind.POOL_FULL),
    (-32003, "replacement transaction underpriced", Kind.REPLACEMENT_UNDERPRICED),
    # anvil
    (-32003, "transaction already imported", Kind.ALREADY_KNOWN),
    (-32003, "nonce too low", Kind.NONCE_TOO_LOW),
    (-32003, "Insufficient funds for gas * price + value", Kind.INSUFFICIENT_FUNDS),
    (-32003, "max fee per gas less than block base fee", Kind.UNDERPRICED),
    (-32003, "intrinsic gas too high -- tx.gasLimit > env.block.gasLimit", Kind.GAS_LIMIT),
    (-32003, "Out of gas: gas required exceeds allowance: 1000", Kind.GAS_LIMIT),
    # Nethermind, Besu, Erigon
    (-32010, "AlreadyKnown", Kind.ALREADY_KNOWN),
    (-32010, "OldNonce, Current nonce: 1, nonce of rejected tx: 0.", Kind.NONCE_TOO_LOW),
    (-32010, "FeeTooLow, MaxFeePerGas too low.", Kind.UNDERPRICED),
    (-32010, "FeeTooLowToCompete", Kind.POOL_FULL),
    (-32010, "NonceGap, Future nonce. Expected nonce: 4", Kind.NONCE_TOO_HIGH),
    (-32010, "ReplacementNotAllowed", Kind.REPLACEMENT_UNDERPRICED),
    (-32000, "Known transaction", Kind.ALREADY_KNOWN),
    (-32001, "Nonce too low", Kind.NONCE_TOO_LOW),
    (-32004, "Upfront cost exceeds account balance", Kind.INSUFFICIENT_FUNDS),
    (-32009, "Gas price below configured minimum gas price", Kind.UNDERPRICED),
    # providers
    (-32005, "daily request count exceeded, request rate limited", Kind.RATE_LIMITED),
    (-32005, "query returned more than 10000 results", Kind.OTHER),
    (429, "Your app has exceeded its compute units per second capacity", Kind.RATE_LIMITED),
    (-32603, "Internal error", Kind.SERVER_ERROR),
    # nobody's
    (-32000, "unknown transaction type", Kind.OTHER),
    (-32602, "missing value for required argument 0", Kind.INVALID_PARAMS),
    (-32000, "tx fee (1.05 ether) exceeds the configured cap (1.00 ether)", Kind.INVALID),
]


@pytest.mark.parametrize(("code", "message", "kind"), SAID)
def test_what_nodes_say_is_understood(code, message, kind):
    assert Wordings().kind(code, message) is kind


def test_a_manifest_adds_words_which_come_before_the_known_ones():
    wordings = Wordings([("Sequence Mismatch", "nonceTooLow"), ("already known", "poolFull")])
    assert wordings.kind(-1, "account sequence mismatch, expected 5") is Kind.NONCE_TOO_LOW
    assert wordings.kind(-32000, "already known") is Kind.POOL_FULL


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("0x08c379a0", "08c379a0"),
        ({"data": "0x08c379a0"}, "08c379a0"),
        ("Reverted 0x08c379a0", "08c379a0"),
        (None, ""),
        ("0xzz", ""),
        (17, ""),
    ],
)
def test_the_data_of_a_revert_is_found_wherever_nodes_put_it(data, found):
    assert RpcError(Kind.REVERTED, "execution reverted", data=data).revert_data.hex() == found


def test_a_message_says_what_was_called_and_where_on_one_line_of_bounded_length():
    error = RpcError(Kind.UNDERPRICED, "line\n  break " + "x" * 1000, method="eth_x", code=-1)
    error.complete("another", "a (http://h:1)")
    assert error.message.startswith("eth_x at a (http://h:1): line break xxx")
    assert len(error.message) < 400
    assert "maxFee" in error.hint


@pytest.mark.parametrize(
    ("kind", "unknown", "idempotent", "repeated"),
    [
        (Kind.RATE_LIMITED, False, False, True),
        (Kind.UNREACHABLE, False, False, True),
        (Kind.UNREACHABLE, True, False, False),
        (Kind.UNREACHABLE, True, True, True),
        (Kind.TIMEOUT, True, False, False),
        (Kind.NONCE_TOO_LOW, False, True, False),
        (Kind.REVERTED, False, True, False),
    ],
)
def test_only_what_can_do_no_harm_is_repeated(kind, unknown, idempotent, repeated):
    assert RpcError(kind, "", unknown_fate=unknown).repeatable(idempotent=idempotent) is repeated
