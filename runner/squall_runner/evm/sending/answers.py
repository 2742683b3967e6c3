"""What a node's refusal of a transaction leads to; pure.

Nodes say no in many ways, and only some of them mean that a transaction will never be in a block.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import INTERNAL_ERROR, Kind

if TYPE_CHECKING:
    from squall_runner.evm.node.failures import RpcError


class Answer(Enum):
    """What a refusal leads to."""

    TAKEN = auto()
    """Nothing is wrong."""
    LOOK = auto()
    """See what the nonce was used for."""
    CLOSE_UP = auto()
    """Send what is missing before it."""
    PAY_MORE = auto()
    """Sign it again with what is paid now."""
    OUTBID = auto()
    """Another one has the nonce: pay more than our own, or make way for somebody else's."""
    AGAIN = auto()
    """Hand it over again after a while."""
    ASK = auto()
    """Ask whether the node has it: what it said may mean anything."""
    REFUSED = auto()
    """It will not do."""


ANSWERS: Final = {
    Kind.ALREADY_KNOWN: Answer.TAKEN,
    Kind.NONCE_TOO_LOW: Answer.LOOK,
    Kind.NONCE_TOO_HIGH: Answer.CLOSE_UP,
    Kind.UNDERPRICED: Answer.PAY_MORE,
    Kind.REPLACEMENT_UNDERPRICED: Answer.OUTBID,
    Kind.INSUFFICIENT_FUNDS: Answer.REFUSED,
    Kind.POOL_FULL: Answer.AGAIN,
    Kind.GAS_LIMIT: Answer.REFUSED,
    Kind.INTRINSIC_GAS: Answer.REFUSED,
    Kind.INVALID: Answer.REFUSED,
    Kind.REVERTED: Answer.REFUSED,
    Kind.METHOD_UNKNOWN: Answer.REFUSED,
    Kind.INVALID_PARAMS: Answer.REFUSED,
    Kind.RATE_LIMITED: Answer.AGAIN,
    Kind.TIMEOUT: Answer.AGAIN,
    Kind.UNREACHABLE: Answer.AGAIN,
    Kind.SERVER_ERROR: Answer.AGAIN,
    Kind.MALFORMED: Answer.AGAIN,
    Kind.FORBIDDEN: Answer.REFUSED,
    Kind.STOPPED: Answer.REFUSED,
    Kind.CHAIN_MISMATCH: Answer.REFUSED,
    Kind.OTHER: Answer.ASK,
}
"""For each kind of failure; every kind has one."""


def answer_to(error: RpcError) -> Answer:
    """What this failure leads to.

    A node's own internal error is no reason to hand something over for ever: some nodes give it for what they will never take.
    """
    if error.kind is Kind.SERVER_ERROR and error.code == INTERNAL_ERROR:
        return Answer.ASK
    return ANSWERS[error.kind]
