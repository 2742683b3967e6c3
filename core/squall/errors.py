"""The errors that Squall raises on purpose, and what the process's exit code says of each.

A pipeline that runs `squall` decides by the exit code, so every cause has its own, and every error a
user can meet says what was wrong and what to do about it. The tree:

    SquallError
    +-- ManifestError       the manifest, its files or its variables are wrong (all problems at once)
    +-- UsageError          the command line asks for something that cannot be done
    +-- InfrastructureError the run could not be carried out (a runner, the hub or the machine failed)
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """Exit codes of `squall`, one per cause; k6's numbers where k6 has the same cause."""

    PASSED = 0
    """The run passed, or the command did what it was asked."""
    INTERNAL = 1
    """A defect in Squall itself."""
    USAGE = 2
    """The command line is wrong."""
    THRESHOLDS = 99
    """A threshold failed, at the end or by aborting the run."""
    DEADLINE = 102
    """The run reached `safety.maxDuration`."""
    INVALID = 103
    """The numbers cannot be trusted: generator saturated or load not delivered."""
    MANIFEST = 104
    """The manifest is wrong; nothing was started."""
    USER = 105
    """Somebody stopped the run."""
    SAFETY = 106
    """A safety stop ended the run."""
    POLICY = 107
    """A policy forbade or halted the run."""
    SCENARIO = 108
    """The scenario ended the run: a step with `onError: abortRun`, data that ran out with `whenExhausted: fail`, or a row
    that cannot be read."""
    ERROR = 109
    """Infrastructure failed: no verdict on the target is possible."""
    REGRESSION = 110
    """`squall compare` or a baseline found a regression beyond the given limits."""


FAULTS_OF_A_MANIFEST: Final = frozenset(
    {
        "BadManifest",
        "ManifestInvalid",
        "FileMissing",
        "DataInvalid",
        "PythonFailed",
        "RequestInvalid",
        "NoBaseUrl",
        "KeyInvalid",
        "WalletsTooFew",
        "NoWallets",
        "ContractMissing",
        "RunUnknown",
        "FundersDiffer",
        "SeedDiffers",
        "ChainMismatch",
    }
)
"""Why a runner does not begin, where only it could find out what is wrong with a manifest, its files, variables or Secrets, or
that the chain is not the one that the manifest is about. Trying once more is of no use."""


def code_of_refusal(reason: str) -> ExitCode:
    """The exit code of a load that a runner could not prepare, by its CamelCase word."""
    return ExitCode.MANIFEST if reason in FAULTS_OF_A_MANIFEST else ExitCode.ERROR


class SquallError(Exception):
    """Base of all errors that are meant for a user.

    Args:
        message: What was wrong, for somebody who has never seen the code.
        hint: What to do about it; empty when the message already says it.
    """

    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SquallError):
    """The command line asks for something that cannot be done."""

    exit_code = ExitCode.USAGE


class InfrastructureError(SquallError):
    """The run could not be carried out: a runner, the hub or the machine failed."""

    exit_code = ExitCode.ERROR
