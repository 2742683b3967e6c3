"""Words and bounds of the scenario language, for the models and for who does what these say.

Apart from the models, as `quantities` is.
"""

STEP_KINDS = (
    "http",
    "poll",
    "think",
    "group",
    "if",
    "choose",
    "repeat",
    "parallel",
    "set",
    "check",
    "python",
    "evm",
    "encrypt",
    "decrypt",
    "generate",
)
"""What a step can be, each a key of its own."""

MAX_TIMES = 1_000_000
"""The most rounds of a `repeat`: who writes more has a loop without an end in mind."""

MIN_INTERVAL = "10ms"
"""The shortest pause between two polls: without one, polling is a loop that only the target holds up."""

DEFAULT_MAX_DURATION = "10m"
"""How long iterations, or a search, may last where `maxDuration` is not written."""

WALLET = "wallet"
"""The name under which steps see the wallet that they act with."""

WALLET_MEMBERS = ("address", "publicKey", "index")
"""What a wallet shows of itself: `wallet.address`, `wallet.publicKey`, `wallet.index`."""

EVENT_MEMBERS = ("name", "args", "address", "block", "hash")
"""What the condition of `evm.waitEvent` sees of an event, as `event.args` for example; its `result` holds the same."""

SENT_MEMBERS = ("hash", "nonce")
"""What the `result` of a transaction of one's own holds as soon as a node has taken it."""

RECEIPT_MEMBERS = ("hash", "block", "status", "gasUsed", "fee", "events")
"""What a `result` holds of a transaction that a block holds."""
