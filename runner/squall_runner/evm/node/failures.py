"""What a failed JSON-RPC call means, whatever the node that refused it says.

Nodes agree on methods and not on errors: nearly everything is code -32000 with a sentence of the node's own. What to do next
(take another nonce, pay more, wait, give up) hangs on what was meant, so sentences are mapped to a small set of kinds, by what
they contain. The table knows geth, Erigon, reth, Nethermind, Besu and anvil; a manifest adds words of other nodes.

Sources of the wordings: go-ethereum `core/txpool/errors.go`, `core/error.go`; reth `crates/rpc/rpc-eth-types/src/error`;
Besu `TransactionInvalidReason`, `RpcErrorType`; Nethermind `AcceptTxResult`; anvil `eth/error.rs`. Codes: EIP-1474, and -32029 and 429,
which providers use for limits.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from squall.errors import SquallError
from squall.spec.secrets import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable


class Kind(StrEnum):
    """What a failure means; also the value of the metric tag `error`."""

    ALREADY_KNOWN = "already_known"
    """The node has this very transaction: as good as accepted."""
    NONCE_TOO_LOW = "nonce_too_low"
    NONCE_TOO_HIGH = "nonce_too_high"
    UNDERPRICED = "underpriced"
    """It pays less per gas than the node takes, or than the base fee."""
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"
    """Another transaction has this nonce, and this one does not pay enough more."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    POOL_FULL = "pool_full"
    """The node holds no more transactions, or none more of this account."""
    GAS_LIMIT = "gas_limit"
    """More gas is asked for than a block has, or than the node lets one transaction use."""
    INTRINSIC_GAS = "intrinsic_gas"
    """Less gas than any such transaction takes."""
    INVALID = "invalid_transaction"
    """No transaction like this is taken, from nobody: it is too large, its fees make no sense, or the chain does not have its type."""
    REVERTED = "reverted"
    """It went wrong in the virtual machine, or would."""
    METHOD_UNKNOWN = "method_unknown"
    INVALID_PARAMS = "invalid_params"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """No connection, or it was cut; or nobody is left to ask."""
    SERVER_ERROR = "server_error"
    """The endpoint itself is not well: an HTTP status without an answer, an internal error, a node that has no state."""
    MALFORMED = "malformed"
    """What came is no answer to what was asked."""
    FORBIDDEN = "forbidden"
    """A policy does not let load go there."""
    STOPPED = "stopped"
    """The load was stopped: nothing was sent, and nobody is to blame."""
    CHAIN_MISMATCH = "chain_mismatch"
    OTHER = "other"


_HINTS: Final = {
    Kind.NONCE_TOO_LOW: "somebody else may use this wallet",
    Kind.UNDERPRICED: "raise spec.evm.fees.headroom or maxFee",
    Kind.INSUFFICIENT_FUNDS: "raise spec.evm.funding.amount or set refillBelow",
    Kind.POOL_FULL: "send more slowly (evm.pace), or lower spec.evm.wallets.maxInFlight",
    Kind.GAS_LIMIT: "lower the gas limit of the step",
    Kind.INTRINSIC_GAS: "raise the gas limit of the step",
    Kind.INVALID: "change what the step sends: its data, its gas limit, or spec.evm.fees",
    Kind.METHOD_UNKNOWN: "use an endpoint that has this method",
    Kind.RATE_LIMITED: "set `rate` for this endpoint, or add endpoints",
    Kind.TIMEOUT: "raise spec.evm.rpc.timeout if the node needs that long",
    Kind.UNREACHABLE: "see whether the node runs and can be reached from here",
    Kind.SERVER_ERROR: "look at the node's own log, and whether the URL is that of its JSON-RPC",
    Kind.MALFORMED: "see whether the URL is that of a JSON-RPC endpoint",
    Kind.FORBIDDEN: "ask for the host in allowedHosts of the policy",
    Kind.CHAIN_MISMATCH: "write the chain's id in spec.evm.chainId, or the URL of the right chain",
}

# The first that fits counts, so what is more precise comes first.
_WORDS: Final[tuple[tuple[str, Kind], ...]] = (
    # Also said of a replacement that is the same transaction, so before the others.
    ("already known", Kind.ALREADY_KNOWN),
    ("already imported", Kind.ALREADY_KNOWN),
    ("alreadyknown", Kind.ALREADY_KNOWN),
    ("unknown transaction", Kind.OTHER),  # which holds the next one
    ("known transaction", Kind.ALREADY_KNOWN),
    ("transaction already exists", Kind.ALREADY_KNOWN),
    ("replacement transaction underpriced", Kind.REPLACEMENT_UNDERPRICED),
    ("replacementnotallowed", Kind.REPLACEMENT_UNDERPRICED),
    ("replacement not allowed", Kind.REPLACEMENT_UNDERPRICED),
    ("could not replace existing", Kind.REPLACEMENT_UNDERPRICED),
    ("transaction_replacement_underpriced", Kind.REPLACEMENT_UNDERPRICED),
    ("nonce too low", Kind.NONCE_TOO_LOW),
    ("nonce_too_low", Kind.NONCE_TOO_LOW),
    ("oldnonce", Kind.NONCE_TOO_LOW),
    ("nonce below current", Kind.NONCE_TOO_LOW),
    ("nonce too high", Kind.NONCE_TOO_HIGH),
    ("nonce_too_high", Kind.NONCE_TOO_HIGH),
    ("nonce too far", Kind.NONCE_TOO_HIGH),
    ("nonce_too_far", Kind.NONCE_TOO_HIGH),
    ("noncegap", Kind.NONCE_TOO_HIGH),
    ("nonce gap", Kind.NONCE_TOO_HIGH),
    ("gapped-nonce", Kind.NONCE_TOO_HIGH),
    ("insufficient funds", Kind.INSUFFICIENT_FUNDS),
    ("insufficientfunds", Kind.INSUFFICIENT_FUNDS),
    ("upfront cost exceeds", Kind.INSUFFICIENT_FUNDS),
    ("overshot", Kind.INSUFFICIENT_FUNDS),
    ("txpool is full", Kind.POOL_FULL),
    ("transaction pool is full", Kind.POOL_FULL),
    ("pool limit", Kind.POOL_FULL),
    ("account limit exceeded", Kind.POOL_FULL),
    ("too many pending", Kind.POOL_FULL),
    ("in-flight transaction limit", Kind.POOL_FULL),
    ("feetoolowtocompete", Kind.POOL_FULL),
    ("txpool is overcrowded", Kind.POOL_FULL),
    ("future transaction tries to replace pending", Kind.POOL_FULL),
    ("max fee per gas less than block base fee", Kind.UNDERPRICED),
    ("max fee per gas less than base fee", Kind.UNDERPRICED),
    ("less than block base fee", Kind.UNDERPRICED),
    ("underpriced", Kind.UNDERPRICED),
    ("feetoolow", Kind.UNDERPRICED),
    ("gas price too low", Kind.UNDERPRICED),
    ("gas price below", Kind.UNDERPRICED),
    ("gas_price_too_low", Kind.UNDERPRICED),
    ("gas price is below", Kind.UNDERPRICED),
    ("fee below", Kind.UNDERPRICED),
    ("below the current base fee", Kind.UNDERPRICED),
    ("intrinsic gas too high", Kind.GAS_LIMIT),
    ("intrinsic gas", Kind.INTRINSIC_GAS),
    ("intrinsic_gas", Kind.INTRINSIC_GAS),
    ("insufficient gas for floor", Kind.INTRINSIC_GAS),
    ("exceeds block gas limit", Kind.GAS_LIMIT),
    ("exceeds_block_gas_limit", Kind.GAS_LIMIT),
    ("gaslimitexceeded", Kind.GAS_LIMIT),
    ("exceeds the block", Kind.GAS_LIMIT),
    ("gas limit too high", Kind.GAS_LIMIT),
    ("transaction gas limit", Kind.GAS_LIMIT),
    ("exceeds max transaction gas limit", Kind.GAS_LIMIT),
    ("gas required exceeds allowance", Kind.GAS_LIMIT),
    ("oversized data", Kind.INVALID),
    ("max initcode size exceeded", Kind.INVALID),
    ("max priority fee per gas higher than max fee per gas", Kind.INVALID),
    ("exceeds the configured cap", Kind.INVALID),
    ("transaction type not supported", Kind.INVALID),
    ("execution reverted", Kind.REVERTED),
    ("vm execution error", Kind.REVERTED),
    ("transaction reverted", Kind.REVERTED),
    ("invalid opcode", Kind.REVERTED),
    ("out of gas", Kind.REVERTED),
    ("invalid jump", Kind.REVERTED),
    ("stack underflow", Kind.REVERTED),
    ("stack limit reached", Kind.REVERTED),
    ("write protection", Kind.REVERTED),
    ("return data out of bounds", Kind.REVERTED),
    ("max code size exceeded", Kind.REVERTED),
    ("must not begin with 0xef", Kind.REVERTED),
    ("chain id", Kind.CHAIN_MISMATCH),
    ("chainid", Kind.CHAIN_MISMATCH),
    ("invalid sender", Kind.CHAIN_MISMATCH),
    ("query returned more than", Kind.OTHER),  # with a code of rate limits
    ("rate limit", Kind.RATE_LIMITED),
    ("rate-limit", Kind.RATE_LIMITED),
    ("ratelimit", Kind.RATE_LIMITED),
    ("too many requests", Kind.RATE_LIMITED),
    ("compute units per second", Kind.RATE_LIMITED),
    ("request limit", Kind.RATE_LIMITED),
    ("daily request count exceeded", Kind.RATE_LIMITED),
    ("timed out", Kind.TIMEOUT),
    ("timeout", Kind.TIMEOUT),
    ("header not found", Kind.SERVER_ERROR),
    ("missing trie node", Kind.SERVER_ERROR),
    ("node is syncing", Kind.SERVER_ERROR),
    ("internal error", Kind.SERVER_ERROR),
    ("does not exist/is not available", Kind.METHOD_UNKNOWN),
    ("method not found", Kind.METHOD_UNKNOWN),
    ("method not supported", Kind.METHOD_UNKNOWN),
    ("unsupported method", Kind.METHOD_UNKNOWN),
    ("method is not available", Kind.METHOD_UNKNOWN),
    ("not whitelisted", Kind.METHOD_UNKNOWN),
)
INTERNAL_ERROR: Final = -32603
"""The code of JSON-RPC 2.0 for what a node does not explain."""
_CODES: Final = {
    3: Kind.REVERTED,
    429: Kind.RATE_LIMITED,
    -32005: Kind.RATE_LIMITED,
    -32029: Kind.RATE_LIMITED,
    -32601: Kind.METHOD_UNKNOWN,
    -32004: Kind.METHOD_UNKNOWN,
    INTERNAL_ERROR: Kind.SERVER_ERROR,
    -32602: Kind.INVALID_PARAMS,
}
_HERE: Final = frozenset({Kind.UNREACHABLE, Kind.TIMEOUT, Kind.SERVER_ERROR, Kind.MALFORMED})
"""Failures of an endpoint, which say nothing about the call."""
_FIRM: Final = frozenset({3, -32601})
"""Codes that say more than any sentence beside them."""
_LONGEST_MESSAGE: Final = 300
_MEANINGS: Final = {
    "alreadyKnown": Kind.ALREADY_KNOWN,
    "nonceTooLow": Kind.NONCE_TOO_LOW,
    "nonceTooHigh": Kind.NONCE_TOO_HIGH,
    "underpriced": Kind.UNDERPRICED,
    "replacementUnderpriced": Kind.REPLACEMENT_UNDERPRICED,
    "insufficientFunds": Kind.INSUFFICIENT_FUNDS,
    "poolFull": Kind.POOL_FULL,
    "rateLimited": Kind.RATE_LIMITED,
}


class Wordings:
    """The table.

    Args:
        more: Parts of messages, and what they mean as a manifest writes it (`nonceTooLow`); they come before the table's.
    """

    def __init__(self, more: Iterable[tuple[str, str]] = ()) -> None:
        own = tuple((contains.lower(), _MEANINGS[means]) for contains, means in more)
        self._own = own
        self._words = own + _WORDS
        self.kind = lru_cache(maxsize=256)(self._kind)

    def _kind(self, code: int, message: str) -> Kind:
        """What an error of a node means.

        Args:
            code: Its code.
            message: Its message.
        """
        text = message.lower()
        if code in _FIRM:
            return next((kind for part, kind in self._own if part in text), _CODES[code])
        found = next((kind for part, kind in self._words if part in text), None)
        return found or _CODES.get(code, Kind.OTHER)


class RpcError(SquallError):
    """A call that failed; the message is for people and holds nothing of an endpoint's URL but scheme, host and port.

    Args:
        kind: What it means.
        message: What the node said, or what happened.
        method: What was called.
        endpoint: Name and host of who was asked, for the message; empty: nobody was.
        code: The node's code; 0 without one.
        data: What the node said beside it; for a revert, its data as hexadecimal text.
        unknown_fate: Whether the call may have had its effect nevertheless, at this endpoint or at one asked before.
        wait: Seconds that the endpoint asked to wait; 0: it asked for nothing.
        stale: The endpoint had closed a connection that was kept open for it, which is nobody's failure.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        method: str = "",
        endpoint: str = "",
        code: int = 0,
        data: Any = None,
        unknown_fate: bool = False,
        wait: float = 0.0,
        stale: bool = False,
    ) -> None:
        self.kind = kind
        self.code = code
        self.data = data
        self.method = method
        self.endpoint = endpoint
        self.unknown_fate = unknown_fate
        self.wait = wait
        self.stale = stale
        self.said = shortened(" ".join(message.split()), _LONGEST_MESSAGE)
        super().__init__(self._sentence(), _HINTS.get(kind, ""))

    def copy(self, *, unknown_fate: bool) -> RpcError:
        """The same for another one who has waited for it, as who gets an error may change it."""
        return RpcError(
            self.kind,
            self.said,
            method=self.method,
            endpoint=self.endpoint,
            code=self.code,
            data=self.data,
            unknown_fate=unknown_fate,
            wait=self.wait,
            stale=self.stale,
        )

    def complete(self, method: str, endpoint: str) -> None:
        """Fill in what was called and who was asked, where that was not known when it arose."""
        self.method, self.endpoint = self.method or method, self.endpoint or endpoint
        self.message = self._sentence()
        self.args = (self.message,)

    def _sentence(self) -> str:
        where = f" at {self.endpoint}" if self.endpoint else ""
        code = f" (code {self.code})" if self.code else ""
        return f"{self.method or 'the call'}{where}: {self.said}{code}"

    @property
    def at_fault(self) -> bool:
        """Whether it speaks against the endpoint rather than against the call."""
        return self.kind in _HERE and not self.stale

    def repeatable(self, *, idempotent: bool) -> bool:
        """Whether it makes sense to ask again, elsewhere or later, and can do no harm.

        Args:
            idempotent: Whether the call has the same effect when it reaches the chain twice.
        """
        if self.kind is Kind.RATE_LIMITED:
            return True
        return self.at_fault and (idempotent or not self.unknown_fate)

    @property
    def revert_data(self) -> bytes:
        """The data of a revert, empty without any: `Abi.error_text` reads it.

        Nodes give it as text, within an object, or (Nethermind, Parity) behind the word `Reverted`.
        """
        found = self.data
        if isinstance(found, dict):
            found = found.get("data", "")
        if not isinstance(found, str):
            return b""
        _, prefix, digits = found.rpartition("0x")
        try:
            return bytes.fromhex(digits) if prefix else b""
        except ValueError:
            return b""
