"""Making what an engine has of a chain: only where a manifest has one, as it takes packages and time to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_runner.steps.extras import missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.protocol import Assignment
    from squall_runner.engine.control import Control
    from squall_runner.engine.manifest import Manifest
    from squall_runner.evm.chain import Chain
    from squall_runner.http import Network
    from squall_runner.recording import Recorder


def make_chain(
    manifest: Manifest,
    network: Network,
    assignment: Assignment,
    *,
    recorder: Recorder,
    control: Control,
    clock: Callable[[], float],
    note: Callable[..., None],
    trying: bool,
) -> Chain:
    """What this process has of the chain of a manifest with `spec.evm`; for the arguments see `Chain`.

    Raises:
        LoadError: Something in it cannot be used, or packages are missing here.
    """
    try:
        from squall_runner.evm.chain import Chain  # noqa: PLC0415 - see the module
    except ImportError as error:
        raise missing(error, "spec.evm") from error
    return Chain(
        manifest,
        network,
        shards=assignment.shards,
        run=assignment.run,
        recorder=recorder,
        control=control,
        clock=clock,
        note=note,
        trying=trying,
    )
