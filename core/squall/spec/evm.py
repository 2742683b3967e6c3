"""An EVM chain in a manifest: how it is reached, whose wallets send, who pays for them.

Said once, in `spec.evm`, for all steps of a test; what one step does on the chain stands in `squall.spec.evmsteps`.
Amounts of the native token are texts (`0.1`, `2 gwei`, `1000 wei`), as whole numbers of wei are longer than JSON keeps exact.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from squall.spec.base import (
    Count,
    Duration,
    Model,
    Name,
    Percent,
    PositiveInt,
    Rule,
    Text,
    VarRef,
    at_most_one_of,
    one_of,
)
from squall.spec.http import Backoff, CircuitBreaker, Headers

Amount = Annotated[str, Field(min_length=1, max_length=128)]
"""An amount of the native token: `0.1` (whole tokens), `2 gwei`, `1000 wei`, or `${var.x}`."""
Address = Annotated[str, Field(min_length=1, max_length=256)]
"""An address, `0x` and 40 hexadecimal digits; may hold `${...}` where the field says so."""
Signature = Annotated[str, Field(min_length=1, max_length=1024)]
"""A function, event, error or constructor as Solidity writes it, such as `function mint(address to) returns (uint256)`."""
Factor = Annotated[str, Field(max_length=16, pattern=r"^[0-9]+(\.[0-9]+)?$")]
MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""Where Multicall3 is on most chains."""


class Endpoint(Model):
    """One JSON-RPC endpoint of the chain."""

    named_list: ClassVar[bool] = True

    name: Name
    """What metrics and messages call it: its URL may hold a key, so it is never shown."""
    url: Text
    """`http://` or `https://`; may hold `${var.x}`, best a variable from a Secret where it holds a key."""
    web_socket: Text | None = None
    """`ws://` or `wss://`, for news of blocks (`eth_subscribe`); without it, blocks are asked for. May hold `${var.x}`."""
    headers: Headers | None = None
    """Sent with every request; may hold `${var.x}`."""
    rate: PositiveInt | None = None
    """The most requests per second, over all shards: each has its share."""


class Batching(Model):
    """Joins calls that come close together into one JSON-RPC batch."""

    max: Annotated[int, Field(ge=2, le=1000)] = 50
    """The most calls in one batch."""
    wait: Duration = "2ms"
    """How long a call waits for others."""


class RpcRetry(Model):
    """Asks again, at another endpoint where there is one, when an endpoint does not answer or asks to come back later.

    A transaction is the same however often it is sent, so sending it again does no harm.
    """

    max_retries: Annotated[int, Field(ge=0, le=20)] = 3
    """Tries after the first one."""
    initial: Duration = "100ms"
    """The pause before the first retry; a `Retry-After` that is longer is respected."""
    backoff: Backoff = Backoff(factor="2", max="10s", jitter="50%")
    budget: Percent = "20%"
    """Retries are at most this share of the first tries, per runner, and ten beside it."""


class Rpc(Model):
    """How endpoints are asked."""

    timeout: Duration = "10s"
    """For one call, waiting for its turn included."""
    batch: Batching | None = None
    """Without it, each call is a request of its own."""
    retry: RpcRetry = RpcRetry()
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    """Per endpoint: one that fails is left alone, and tried again from time to time."""
    max_head_lag: PositiveInt = 5
    """An endpoint whose head is so many blocks behind the others' is left out until it has caught up."""


class Contract(Model):
    """A contract that steps call by its name."""

    named_list: ClassVar[bool] = True

    rules = (one_of("abi", "signatures"),)

    name: Name
    """What steps call it."""
    address: Address | None = None
    """Where it is; may hold `${var.x}`. Left out where steps deploy it, or say where it is."""
    abi: Name | None = None
    """The name of a file: the ABI as JSON, or what a compiler wrote with its `abi` and its `bytecode`."""
    signatures: Annotated[list[Signature], Field(min_length=1, max_length=128)] | None = None
    """The ABI in words: `function f(uint256 id) returns (bool)`, `event Done(uint256 indexed id)`."""


class Wallets(Model):
    """Whose transactions are sent: wallets derived from a seed, or keys of a file. Shards have different ones."""

    rules = (one_of("seed", "keys"),)

    seed: Text | None = None
    """What all keys are derived from: best a variable from a Secret. The same seed gives the same wallets; with `${run.id}` in
    it each run has wallets of its own."""
    keys: Name | None = None
    """The name of a file with one private key a line (64 hexadecimal digits). These wallets keep what is left in them."""
    count: PositiveInt = 1000
    """How many wallets there are, over all shards. Of a file, at most all of its keys."""
    per: Literal["vu", "iteration"] = "vu"
    """Whether a VU keeps its wallet, or each iteration takes one."""
    order: Literal["sequential", "random", "fewestPending"] = "sequential"
    """Which wallet is taken: the next one, any, or the one with the fewest transactions on their way."""
    when_exhausted: Literal["recycle", "stop", "fail"] = "recycle"
    """After the last wallet: begin again with the first, stop the scenario, or abort the run."""
    max_in_flight: PositiveInt = 16
    """The most transactions of one wallet on their way; more wait."""


class Funding(Model):
    """Who pays, and how wallets get what they need before they are used.

    The funder gives each shard's own funder what its wallets will need; that one fills the wallets in batches, ahead of their
    use. What is left goes back at the end.
    """

    keys: Annotated[list[Text], Field(min_length=1, max_length=32)]
    """The private keys of the funders, which share the shards; each best a variable from a Secret."""
    amount: Amount = "0.1"
    """What each wallet is filled up to."""
    refill_below: Amount | None = None
    """A wallet that is used again is filled up when it has less than this, or had too little for a transaction; without it, never.
    The shards get money to fill each wallet once more."""
    ahead: PositiveInt = 200
    """How many wallets are kept filled ahead of their use, over all shards."""
    batch: Annotated[int, Field(ge=1, le=1000)] | VarRef = 100
    """The most wallets filled by one transaction; fewer where a block has too little gas."""
    max_pending: Annotated[int, Field(ge=1, le=16)] = 8
    """The most transactions of one funder on their way: nodes keep few per account."""
    multicall: Address = MULTICALL3
    """Where Multicall3 is, or a contract like it."""
    deploy_multicall: bool = False
    """Deploy such a contract where there is none, to look at balances; batches then need none. Without either, wallets are filled
    one by one."""
    wait: Duration = "30s"
    """How long a wallet may take to be filled; an iteration that waits longer has failed."""
    sweep: bool = True
    """Whether what is left goes back to the funders when the run ends, also when it is stopped. Wallets of a file of keys keep it."""
    sweep_timeout: Duration = "5m"
    """How long that may take; `squall evm sweep` does the rest."""


class Gas(Model):
    """The gas limit of transactions."""

    rules = (
        Rule(
            "!has(self.policy) || self.policy != 'fixed' || has(self.limit)",
            "policy: fixed needs limit",
            lambda gas, given: "policy" not in given or gas.policy != "fixed" or "limit" in given,
            {
                "anyOf": [
                    {"required": ["limit"]},
                    {"not": {"properties": {"policy": {"const": "fixed"}}, "required": ["policy"]}},
                ]
            },
        ),
    )

    policy: Literal["fixed", "precomputed", "estimateOnce", "estimate"] = "estimateOnce"
    """`fixed`: `limit`; `precomputed`: what `limits` has for the function, else `limit`; `estimateOnce`: estimated at the
    first transaction of a step, by each runner; `estimate`: estimated for each transaction."""
    limit: PositiveInt | None = None
    """The limit itself, or what is taken when an estimate fails."""
    limits: (
        Annotated[
            dict[Annotated[str, Field(max_length=128)], PositiveInt], Field(min_length=1, max_length=128)
        ]
        | None
    ) = None
    """Limits by `contract.function`."""
    margin: Percent = "20%"
    """Added to an estimate."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """How often an estimate that failed is asked for again."""


class Fees(Model):
    """What is paid per gas."""

    rules = (at_most_one_of("maxFee", "headroom"),)

    type: Literal["eip1559", "legacy"] = "eip1559"
    """The kind of transaction: type 2 (EIP-1559), or the one before with a gas price (EIP-155)."""
    max_fee: Amount | None = None
    """The most per gas; by default the base fee times `headroom`, and the priority fee. For `legacy`, the gas price."""
    priority_fee: Amount | None = None
    """The tip per gas; by default what the node suggests."""
    headroom: Factor = "2"
    """How far the base fee may rise before a transaction has to wait."""
    limit: Amount | None = None
    """Never pay more per gas: a transaction waits while the base fee is higher."""
    replace_after: Duration | None = None
    """A transaction that is in no block after this long is replaced by one that pays more; without it, never."""
    bump: Percent = "15%"
    """How much more a replacement pays."""
    max_replacements: Annotated[int, Field(ge=1, le=20)] = 3
    """How often one transaction may be replaced."""


class NodeWording(Model):
    """What a node's words mean, for nodes that say it in words of their own."""

    contains: Annotated[str, Field(min_length=1, max_length=256)]
    """A part of the error's message, in any case."""
    means: Literal[
        "alreadyKnown",
        "nonceTooLow",
        "nonceTooHigh",
        "underpriced",
        "replacementUnderpriced",
        "insufficientFunds",
        "poolFull",
        "rateLimited",
    ]
    """What it is treated as."""


class Evm(Model):
    """The chain that steps act on, and the wallets that act."""

    chain_id: PositiveInt | None = None
    """Asked of each endpoint before anything is sent: a run on another chain is refused. Without it any chain is taken that
    is no well-known one with money of value."""
    endpoints: Annotated[list[Endpoint], Field(min_length=1, max_length=32)]
    """Share the calls; one that fails or falls behind is left out."""
    rpc: Rpc = Rpc()
    contracts: Annotated[list[Contract], Field(max_length=64)] = []
    wallets: Wallets | None = None
    """Without it, steps can only read."""
    funding: Funding | None = None
    """Without it, wallets use what they have."""
    gas: Gas = Gas()
    fees: Fees = Fees()
    pre_sign: Count = 0
    """How many transactions that hold nothing but constants a step signs ahead, per runner."""
    poll_interval: Duration = "500ms"
    """How often the head of the chain is asked for, where no endpoint has a `webSocket` that works."""
    confirmations: Count = 0
    """How many blocks on top a transaction needs before it counts as confirmed."""
    wordings: Annotated[list[NodeWording], Field(max_length=64)] = []
    """For nodes whose errors are not understood."""
