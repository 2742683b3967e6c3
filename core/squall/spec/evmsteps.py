"""What one step does on an EVM chain, and the steps beside it: encrypting, and data to encrypt.

Every kind leaves what came of it under the name `result`, as plain data that `${...}` can look into.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from squall.spec.base import (
    Count,
    Duration,
    Expression,
    Identifier,
    Model,
    Name,
    PositiveInt,
    Rule,
    Size,
    Text,
    at_most_one_of,
    one_of,
)
from squall.spec.evm import Address, Amount, Fees, Gas, Signature
from squall.spec.http import JsonValue

Arguments = Annotated[JsonValue, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""A list in the function's order, or a mapping by name; texts may hold `${...}`, one that is exactly `${expr}` keeps its type."""
Function = Annotated[str, Field(min_length=1, max_length=512)]
"""A function's name in the contract's ABI, its full signature where several share the name, or without a contract any
signature: `function transfer(address,uint256) returns (bool)`."""


def _either(one: str, other: str) -> Rule:
    """The rule of two keys of which at least one is given."""
    return Rule(
        f"has(self.{one}) || has(self.{other})",
        f"needs {one} or {other}",
        lambda _, given: one in given or other in given,
        {"anyOf": [{"required": [one]}, {"required": [other]}]},
    )


class EvmCall(Model):
    """Asks a contract without a transaction (`eth_call`)."""

    rules = (_either("contract", "to"),)

    contract: Name | None = None
    """A contract of `evm.contracts`."""
    to: Address | None = None
    """Where the contract is, when not where `evm.contracts` says; may hold `${...}`."""
    function: Function
    """Its name in the ABI, or its signature."""
    args: Arguments = None
    """What its arguments are: a list in order, or a mapping by name; texts may hold `${...}`."""
    block: Text = "latest"
    """`latest`, `pending`, `safe`, `finalized`, or a number."""
    result: Identifier | None = None
    """The name for what the function returned: one value, or a list of several."""


class EvmTransaction(Model):
    """Sends a transaction of the VU's wallet, and waits as far as `wait` says.

    It has failed when the node refuses it, when it is reverted, or when `timeout` has passed.
    """

    rules = (
        _either("contract", "to"),
        at_most_one_of("function", "data"),
        Rule(
            "!has(self.args) || has(self.function)",
            "args belong to function",
            lambda _, given: "args" not in given or "function" in given,
            {"anyOf": [{"required": ["function"]}, {"not": {"required": ["args"]}}]},
        ),
    )

    contract: Name | None = None
    """A contract of `evm.contracts`."""
    to: Address | None = None
    """Who gets it, when not where `evm.contracts` says; may hold `${...}`."""
    function: Function | None = None
    """Without it, only `value` is sent, or `data`."""
    args: Arguments = None
    """What its arguments are: a list in order, or a mapping by name; texts may hold `${...}`."""
    data: Text | None = None
    """What is sent along as it is, `0x` and hexadecimal digits; may hold `${...}`."""
    value: Amount = "0"
    """How much of the native token is sent along; may hold `${...}`, whose number is of wei."""
    gas: Gas | None = None
    """Instead of that of `spec.evm`."""
    fees: Fees | None = None
    """Instead of those of `spec.evm`."""
    wait: Literal["accepted", "included", "confirmed"] = "included"
    """Until the node has taken it, a block holds it, or `confirmations` blocks are on top of that."""
    allow_revert: bool = False
    """Whether a transaction that was reverted is no failure."""
    timeout: Duration = "2m"
    """For all of it."""
    result: Identifier | None = None
    """The name for what came of it: `hash`, `nonce`, and once it is in a block `block`, `status`, `gasUsed`, `fee`, and
    `events`, a list with the name and the `args` of each that the ABI knows."""


class EvmDeploy(Model):
    """Deploys a contract from the VU's wallet, and waits until it is there."""

    contract: Name
    """A contract of `evm.contracts` whose file has the bytecode, or whose bytecode is given here."""
    bytecode: Annotated[str, Field(max_length=65536)] | None = None
    """`0x` and hexadecimal digits."""
    args: Arguments = None
    """What its arguments are: a list in order, or a mapping by name; texts may hold `${...}`."""
    value: Amount = "0"
    """What the constructor is sent along of the native token; may hold `${...}`, whose number is of wei."""
    gas: Gas | None = None
    """Instead of that of `spec.evm`."""
    fees: Fees | None = None
    """Instead of those of `spec.evm`."""
    timeout: Duration = "2m"
    """For all of it."""
    result: Identifier | None = None
    """The name for what came of it: `address`, and as for a transaction."""


class EvmWaitReceipt(Model):
    """Waits until a transaction is in a block, also one that somebody else has sent."""

    hash: Text
    """The hash of the transaction; holds `${...}`."""
    confirmations: Count | None = None
    """How many blocks on top of it; by default those of `spec.evm`."""
    allow_revert: bool = False
    """Whether a transaction that was reverted is no failure."""
    timeout: Duration = "2m"
    """For all of it."""
    result: Identifier | None = None
    """The name for what came: as for a transaction."""


class EvmWaitEvent(Model):
    """Waits for an event that a contract emits. One that is in a block already counts from `fromBlock` on."""

    rules = (_either("contract", "address"),)

    contract: Name | None = None
    """A contract of `evm.contracts`."""
    address: Address | None = None
    """Who emits it, when not the address in `evm.contracts`; may hold `${...}`."""
    event: Signature
    """The event's name in the contract's ABI, or its signature."""
    where: Annotated[dict[Identifier, JsonValue], Field(min_length=1, max_length=32)] | None = None
    """Values that its arguments must have; texts may hold `${...}`."""
    condition: Expression | None = None
    """What must hold besides, with the event as `event`: `event.args.amount > 5`."""
    from_block: Text | None = None
    """A number, holds `${...}`: look at blocks from this one on, first at those that are there already. Without it, from the
    block at which the step begins."""
    extract: Annotated[dict[Identifier, Identifier], Field(min_length=1, max_length=32)] | None = None
    """Names for later steps, and the event's arguments that they take."""
    timeout: Duration = "2m"
    """The step has failed when no such event has come by then."""
    result: Identifier | None = None
    """The name for the event: `name`, `args`, `address`, `block`, `hash` of its transaction."""


class EvmBalance(Model):
    """Asks what an address has of the native token."""

    of: Address | None = None
    """An address, may hold `${...}`; by default the VU's wallet."""
    result: Identifier
    """The name for the amount, in wei."""


class EvmRpc(Model):
    """Calls any method of the node."""

    method: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    """Such as `eth_getCode`."""
    params: Annotated[list[JsonValue], Field(max_length=64)] = []
    """Texts may hold `${...}`; one that is exactly `${expr}` keeps the expression's type."""
    result: Identifier | None = None
    """The name for what came back."""


class EvmSign(Model):
    """Signs with the key of the VU's wallet; nothing is sent."""

    rules = (one_of("message", "typedData"),)

    message: Text | None = None
    """A text, signed as `personal_sign` does (EIP-191); may hold `${...}`."""
    typed_data: JsonValue = None
    """`domain`, `types`, `primaryType` and `message` (EIP-712); texts may hold `${...}`."""
    result: Identifier
    """The name for the signature, `0x` and 130 hexadecimal digits."""


class EvmPace(Model):
    """Waits for its turn, so that transactions together use so much gas and no more, whatever the executor would do.

    The limit is that of all shards: each has its share.
    """

    rules = (one_of("gasPerSecond", "mempoolBlocks"),)

    gas_per_second: PositiveInt | None = None
    """Gas of the transactions that follow, per second."""
    mempool_blocks: PositiveInt | None = None
    """Blocks' worth of gas that may wait in the mempool: a step waits while this run has more on its way."""
    gas: PositiveInt | None = None
    """The gas of what follows; by default what its transactions have used so far, on the mean."""


EVM_KINDS = (
    "call",
    "transaction",
    "deploy",
    "waitReceipt",
    "waitEvent",
    "balance",
    "rpc",
    "sign",
    "pace",
)


class EvmStep(Model):
    """Something done on the chain of `spec.evm`."""

    rules = (one_of(*EVM_KINDS),)

    call: EvmCall | None = None
    transaction: EvmTransaction | None = None
    deploy: EvmDeploy | None = None
    wait_receipt: EvmWaitReceipt | None = None
    wait_event: EvmWaitEvent | None = None
    balance: EvmBalance | None = None
    rpc: EvmRpc | None = None
    sign: EvmSign | None = None
    pace: EvmPace | None = None


class Encrypt(Model):
    """Encrypts data (AES-256-GCM), for the wallet that can sign the same message, for a password, or for a public key."""

    rules = (one_of("message", "password", "publicKey"),)

    data: Text
    """What is encrypted: a text with `${...}`; one that is exactly `${expr}` may be bytes."""
    message: Text | None = None
    """The key is derived from the wallet's signature (`personal_sign`) of this text."""
    password: Text | None = None
    """The key is derived from this; may hold `${...}`."""
    public_key: Text | None = None
    """Only who has its private key (secp256k1) can read it: 33 or 65 bytes in hexadecimal digits; holds `${...}`."""
    encoding: Literal["bytes", "base64", "hex"] = "bytes"
    """What comes out; bytes can be the body of a request: `raw: ${name}`."""
    result: Identifier
    """The name for the ciphertext."""


class Decrypt(Model):
    """Decrypts what `encrypt` made, with the wallet or with the password. What was tampered with is a failure."""

    rules = (one_of("message", "password"),)

    data: Text
    """The ciphertext, in one of `encrypt`'s encodings; is `${expr}`."""
    message: Text | None = None
    """The text whose signature gave the key."""
    password: Text | None = None
    """What the key was derived from; may hold `${...}`."""
    encoding: Literal["bytes", "text"] = "text"
    """What comes out."""
    result: Identifier
    """The name for it."""


class Generate(Model):
    """Makes data as a user of a platform has it: profile, activity, purchases, preferences, metadata; JSON.

    It depends on the run, the VU and the iteration, and on nothing else.
    """

    size: Size
    """Exactly so many bytes, 512 at least."""
    result: Identifier
    """The name for it, a text."""
