from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, cast

import pytest

from squall.local.interrupts import Interrupts

if TYPE_CHECKING:
    from squall.hub.driver import Run


class FakeRun:
    def __init__(self) -> None:
        self.told: list[str] = []

    def stop(self, cause: str, reason: str, message: str) -> None:
        self.told.append(f"stop {cause} {reason}")
        assert message

    def kill(self) -> None:
        self.told.append("kill")

    def suspend(self) -> None:
        self.told.append("suspend")


async def send(number: signal.Signals) -> None:
    """Deliver a signal to this process and let the event loop see it."""
    os.kill(os.getpid(), number)
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("signals", "told"),
    [
        ([signal.SIGINT], ["stop user Interrupted"]),
        ([signal.SIGINT, signal.SIGINT], ["stop user Interrupted", "kill"]),
        ([signal.SIGTERM], ["stop user Terminated"]),
        ([signal.SIGTSTP, signal.SIGTSTP], ["suspend", "suspend"]),
        ([signal.SIGHUP], ["stop user TerminalClosed"]),
        ([signal.SIGHUP, signal.SIGINT], ["stop user TerminalClosed", "stop user Interrupted"]),
    ],
)
async def test_what_signals_mean(signals: list[signal.Signals], told: list[str]) -> None:
    run = FakeRun()
    with Interrupts() as interrupts:
        interrupts.attach(cast("Run", run), run.suspend)
        for number in signals:
            await send(number)
    assert run.told == told


async def test_a_signal_before_the_run_exists_is_made_up_for() -> None:
    run = FakeRun()
    with Interrupts() as interrupts:
        await send(signal.SIGINT)
        interrupts.attach(cast("Run", run), run.suspend)
    assert run.told == ["stop user Interrupted"]


async def test_afterwards_signals_mean_what_they_meant_before() -> None:
    with Interrupts():
        pass
    loop = asyncio.get_running_loop()
    assert not loop.remove_signal_handler(signal.SIGINT)
