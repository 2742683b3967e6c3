from __future__ import annotations

import io
import os
from typing import Any

import pytest
from rich.console import Console
from support.summaries import threshold

from squall.report.live import LiveView, PlainView, view_for
from squall.report.model import LiveState, RunnerState, ScenarioState
from squall.report.parts import ChainState
from squall.report.terminal import terminal


def state(elapsed: float = 12.0, **changes: Any) -> LiveState:
    given: dict[str, Any] = {
        "run": "r",
        "name": "shop",
        "phase": "running",
        "elapsed_seconds": elapsed,
        "planned_seconds": 60.0,
        "runners": (RunnerState(index=0, shards=(0, 1), phase="running", slot=11),),
        "scenarios": (
            ScenarioState(
                name="browse",
                executor="ramping-vus",
                unit="VUs",
                stage="hold",
                progress=0.2,
                target=5,
                actual=4,
                iterations=120,
                dropped=0,
                failed=3,
            ),
        ),
        "thresholds": (threshold("violated"),),
        "requests_per_second": 42.0,
        "error_rate": 0.1,
        "p95_seconds": 0.25,
    }
    return LiveState(**(given | changes))


def drawn(view_type: Any, *states: LiveState, tty: bool) -> str:
    buffer = io.StringIO()
    view = view_type(Console(file=buffer, width=120, force_terminal=tty))
    view.begin()
    for one in states:
        view.update(one)
    view.end()
    return buffer.getvalue()


def test_what_is_done_on_a_chain_is_shown_as_soon_as_there_is_some() -> None:
    chain = ChainState(transactions=120, per_second=12.0, failed=0.03, p95_seconds=2.5)
    for view, tty, parts in (
        (LiveView, True, ("tx/s", "3%", "tx p95", "2.5 s")),
        (PlainView, False, ("12 tx/s", "3% tx failed", "2.5 s tx p95")),
    ):
        assert "tx" not in drawn(view, state(), tty=tty)
        text = drawn(view, state(chain=chain), tty=tty)
        assert all(part in text for part in parts), text


def test_the_live_view_shows_load_figures_thresholds_and_warnings() -> None:
    text = drawn(LiveView, state(warnings=("error rate above 5%",)), tty=True)
    for part in ("shop", "hold", "4 / 5 VUs", "42", "250 ms", "10%", "p(95)<100ms", "error rate above 5%"):
        assert part in text


def test_plain_lines_come_every_five_seconds() -> None:
    text = drawn(PlainView, *(state(float(second)) for second in range(12)), tty=False)
    progress = [line for line in text.splitlines() if "req/s" in line]
    assert [line.split("/")[0] for line in progress] == ["0s", "5s", "10s"]


def test_plain_lines_tell_each_change_once() -> None:
    text = drawn(
        PlainView,
        state(1, thresholds=(threshold("pending"),)),
        state(2, thresholds=(threshold("pass"),)),
        state(3, warnings=("one",)),
        state(4, warnings=("one", "two")),
        state(5, phase="stopping", stop_reason="threshold", thresholds=(threshold("failed"),)),
        tty=False,
    )
    assert text.count("warning: one") == text.count("warning: two") == 1
    assert text.count(": violated, value 380 ms") == text.count(": failed, value 380 ms") == 1
    assert ": pass" not in text
    assert "shop: stopping (threshold)" in text


@pytest.mark.parametrize(("tty", "expected"), [(True, LiveView), (False, PlainView)])
def test_the_view_fits_the_output(tty: bool, expected: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(view_for(Console(file=io.StringIO(), force_terminal=tty)), expected)


def test_a_reader_that_goes_away_ends_nothing() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        console = terminal(stream)
        view = PlainView(console)
        view.update(state(0))
        os.close(reading)
        for second in range(1, 60):
            view.update(state(float(second), warnings=tuple(f"warning {n}" for n in range(second))))
        console.print("the verdict")
        assert os.readlink(f"/proc/self/fd/{writing}") == os.devnull
