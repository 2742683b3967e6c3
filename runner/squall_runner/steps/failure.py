"""How an iteration ends before its last step; raised by steps, understood by the iteration alone."""

from __future__ import annotations

from typing import Final

EXTRACT: Final = "extract"
"""A response does not hold what a step wants to take out of it."""
EXPRESSION: Final = "expression"
"""An expression has no value for the data it met, such as a name that nothing has set."""
PYTHON: Final = "python"
"""The user's own function raised an exception or took too long."""
JOB: Final = "job"
"""A polled job failed, or missed its deadline."""
LIMIT: Final = "limit"
"""A repetition reached its limit."""
CANCELLED: Final = "cancelled"
"""The request was cut off by the generator itself: the plan's end, a ramp or a stop."""
RATE_LIMITED: Final = "rate_limited"
"""A request was not sent: its turn in the rate limit of its host would have come after its timeout."""
CIRCUIT_OPEN: Final = "circuit_open"
"""A request was not sent: the circuit of its host is open."""
ENCRYPTION: Final = "encryption"
"""Something could not be encrypted, or what was to be decrypted is not what it should be."""
ARGUMENTS: Final = "evm_arguments"
"""Values that a function of a contract does not take, or results that are not what its ABI says."""
WALLET: Final = "evm_wallet"
"""The VU's wallet was not funded in time."""
REVERTED: Final = "evm_reverted"
"""A transaction is in a block, but its contract has refused it."""
EVENT: Final = "evm_event"
"""An event that is waited for did not come in time."""
INTERNAL: Final = "internal"
"""A defect in Squall."""


class EndIteration(Exception):  # noqa: N818 - an order, not a mistake
    """A step failed, and the iteration ends here, unless the step or one around it has `onError: continue`.

    Attributes:
        aborts: The whole run is to end: nothing contains this.
    """

    def __init__(self, *, aborts: bool) -> None:
        super().__init__()
        self.aborts = aborts


class Halted(BaseException):
    """The VU may send nothing more: a stop, or its time is up.

    Like the cancellation that usually comes with it, it passes through `except Exception` in a user's function.
    """
