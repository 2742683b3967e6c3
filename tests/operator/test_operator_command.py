"""The command `squall-operator` and what it serves about itself."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
import structlog
from click.testing import CliRunner

from squall import __version__
from squall_operator.lasting import Standing
from squall_operator.main import main
from squall_operator.telemetry import Telemetry, serve

GIVEN = ["--hub", "http://hub:1", "--runner-image", "i"]


def test_help_tells_every_option() -> None:
    told = CliRunner().invoke(main, ["--help"])
    assert told.exit_code == 0
    assert all(option.help for option in main.params if getattr(option, "help", "") is not None)
    for option in ("--hub", "--key-file", "--runner-image", "--watch-namespace", "--listen"):
        assert option in told.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--hub"),
        ([*GIVEN], "--key-file"),
        ([*GIVEN, "--key-file", "/nowhere/key"], "No such file"),
        ([*GIVEN, "--key-file", "{key}", "--listen", "8080x"], "HOST:PORT"),
        ([*GIVEN, "--key-file", "{key}", "--runner-cpu", "0"], "--runner-cpu"),
        ([*GIVEN, "--key-file", "{key}", "--hub-ca-file", "/nowhere/ca"], "No such file"),
        ([*GIVEN, "--key-file", "{key}", "--log-level", "loud"], "--log-level"),
        ([*GIVEN, "--key-file", "{key}", "--what"], "--what"),
        ([*GIVEN, "--key-file", "{key}", "--webhook-listen", "8443x"], "--webhook-host"),
        ([*GIVEN, "--key-file", "{key}", "--webhook-listen", "x", "--webhook-host", "h"], "HOST:PORT"),
        ([*GIVEN, "--key-file", "{key}", "--webhook-listen", ":1", "--webhook-key-file", "k"], "together"),
        ([*GIVEN, "--key-file", "{key}", "--run-egress"], "NAME.NAMESPACE.svc"),
    ],
)
def test_what_is_wrong_is_told_at_once(arguments: list[str], says: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k\n")
    told = CliRunner().invoke(main, [each.format(key=key) for each in arguments])
    assert told.exit_code not in (0, None)
    assert says in told.output
    assert "Traceback" not in told.output


async def test_health_readiness_and_metrics(unused_tcp_port: int) -> None:
    telemetry, ready = Telemetry(structlog.get_logger()), False
    phases, oldest = {"Running": 2}, {"Running": 61.5}

    def read() -> None:
        standing = Standing(phases, oldest, 12.0, (1, 2, 2))
        telemetry.gauge(waiting=3, standing=standing, hubs={"http://hub:1": True})

    web = await serve(telemetry, ("127.0.0.1", unused_tcp_port), read=read, ready=lambda: ready)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    try:
        async with aiohttp.ClientSession() as session:
            assert (await session.get(f"{url}/healthz")).status == 200
            assert (await session.get(f"{url}/readyz")).status == 503
            ready = True
            assert (await session.get(f"{url}/readyz")).status == 200
            telemetry.leading(leads=True)
            telemetry.failed(("default", "shop"), RuntimeError("x"))
            telemetry.called("PATCH", 0, 0.1)
            with telemetry.acting("Launch"), telemetry.looking():
                pass
            text = await (await session.get(f"{url}/metrics")).text()
            for line in (
                "squall_operator_leader 1.0",
                "squall_operator_queue_waiting 3.0",
                'squall_operator_runs{phase="Running"} 2.0',
                "squall_operator_queue_held 3.0",
                "squall_operator_queue_ahead 2.0",
                'squall_operator_phase_oldest_seconds{phase="Running"} 61.5',
                "squall_operator_overdue_seconds 12.0",
                "squall_operator_round_seconds_count 1.0",
                'squall_operator_api_seconds_count{method="PATCH",status="0"} 1.0',
                f'squall_operator_build_info{{version="{__version__}"}} 1.0',
                "process_resident_memory_bytes ",
                'squall_operator_hub_up{hub="http://hub:1"} 1.0',
                'squall_operator_failures_total{error="RuntimeError"} 1.0',
                'squall_operator_action_seconds_count{action="Launch"} 1.0',
            ):
                assert line in text
            phases.clear()
            text = await (await session.get(f"{url}/metrics")).text()
            assert 'runs{phase="Running"}' not in text
    finally:
        await web.cleanup()
