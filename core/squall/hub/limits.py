"""What a manifest demands of runners and hub alike, so that both know the same: how long, and how much to remember.

A hub that restarts gets back from the runners what it needs to judge: the windows of all thresholds, the levels of a
search, and the totals at the
moments that thresholds with `after` begin. Runners keep that much, and besides what may pass
while there is no hub, which they bear for `safety.lostControl`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from squall.spec.quantities import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.spec import structs
    from squall.spec.loadtest import LoadTestSpec, Threshold
    from squall.spec.steps import StepBlock

SECOND: Final = 1_000_000_000
BLOCK_MARGIN_NS: Final = 10 * SECOND
"""Setup and teardown end themselves at their timeout; the hub waits this much longer for the word of it."""
FUNDING_NS: Final = 120 * SECOND
"""How long the funders of a chain's wallets may take until the load can begin; only then they fill wallets ahead of their use."""
LIVE_WINDOW_SLOTS: Final = 10
"""The live view shows percentiles over so many slots."""
SLACK_SLOTS: Final = 5
"""Slots that are on their way or wait for their watermark."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run.

    Attributes:
        lost_control_ns: A runner that has not heard from the hub for this long stops for good.
        max_duration_ns: Nothing is sent later than this after the start.
        stop_grace_ns: What is in flight at a stop may take this long to end.
        setup_ns: How long setup may take, until the hub gives it up; the runner has ended it before.
        teardown_ns: Likewise for teardown.
        keep_slots: How many of the latest slots have to be known one by one.
        anchors: Last slots whose totals have to be known, see `squall.metrics.retention`.
    """

    lost_control_ns: int
    max_duration_ns: int
    stop_grace_ns: int
    setup_ns: int
    teardown_ns: int
    keep_slots: int
    anchors: tuple[int, ...]

    @classmethod
    def of(cls, spec: LoadTestSpec | structs.LoadTestSpec) -> Limits:
        """The limits that a manifest sets.

        Raises:
            ValueError: A duration is none.
        """
        safety = spec.safety
        lost_control = nanoseconds(safety.lost_control)
        windows = [_slots(safety.window), LIVE_WINDOW_SLOTS]
        windows += [_slots(each.over) + _slots(each.for_time) for each in _thresholds(spec)]
        windows += [
            _slots(each.search.settle) + max(1, _slots(each.search.hold))
            for each in spec.scenarios
            if each.search
        ]
        starts = [_slots(each.after) for each in _thresholds(spec)] + [_slots(safety.after)]
        return cls(
            lost_control_ns=lost_control,
            max_duration_ns=nanoseconds(safety.max_duration),
            stop_grace_ns=nanoseconds(safety.stop_grace),
            setup_ns=_block(spec.setup) + (FUNDING_NS if funds(spec) else 0),
            teardown_ns=_block(spec.teardown) + _sweep(spec),
            keep_slots=max(windows) + math.ceil(lost_control / SECOND) + SLACK_SLOTS,
            anchors=tuple(sorted({start - 1 for start in starts if start > 0})),
        )


def funds(spec: LoadTestSpec | structs.LoadTestSpec) -> bool:
    """Whether a run gives money to wallets before its load, which setup does."""
    return spec.evm is not None and spec.evm.funding is not None


def setup_seconds(spec: LoadTestSpec | structs.LoadTestSpec) -> float:
    """How long what is done once before the load may take."""
    block = nanoseconds(spec.setup.timeout) if spec.setup else 0
    return (block + (FUNDING_NS if funds(spec) else 0)) / SECOND


def teardown_seconds(spec: LoadTestSpec | structs.LoadTestSpec) -> float:
    """How long what is done once after the load may take."""
    block = nanoseconds(spec.teardown.timeout) if spec.teardown else 0
    return (block + _sweep(spec)) / SECOND


def needs_setup(spec: LoadTestSpec | structs.LoadTestSpec) -> bool:
    """Whether anything is done once before the load."""
    return spec.setup is not None or funds(spec)


def needs_teardown(spec: LoadTestSpec | structs.LoadTestSpec) -> bool:
    """Whether anything is done once after the load."""
    return spec.teardown is not None or _sweep(spec) > 0


def gives_back(spec: LoadTestSpec | structs.LoadTestSpec) -> bool:
    """Whether teardown gives back what wallets have, so that without it they may have money still."""
    return _sweep(spec) > 0


def _sweep(spec: LoadTestSpec | structs.LoadTestSpec) -> int:
    """How long giving back what is left may take."""
    funding = spec.evm.funding if spec.evm is not None else None
    return nanoseconds(funding.sweep_timeout) if funding is not None and funding.sweep else 0


def _block(block: StepBlock | structs.StepBlock | None) -> int:
    return (nanoseconds(block.timeout) if block else 0) + BLOCK_MARGIN_NS


def _thresholds(spec: LoadTestSpec | structs.LoadTestSpec) -> Iterator[Threshold | structs.Threshold]:
    yield from spec.thresholds
    for tier in spec.tiers:
        yield from tier.thresholds


def _slots(duration: str | None) -> int:
    """Whole slots that a duration reaches into."""
    return math.ceil(nanoseconds(duration) / SECOND) if duration else 0
