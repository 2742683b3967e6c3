from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from squall.local.log import RunLog


def test_lines_are_json_and_hold_no_secret(tmp_path: Path) -> None:
    with closing(RunLog(tmp_path / "log", lambda text: text.replace("hunter2", "***"))) as log:
        log("r1", "warning", "step_failed", {"message": "hunter2 was refused", "status": 401})
    (line,) = (tmp_path / "log").read_text().splitlines()
    shown = json.loads(line)
    assert (shown["run"], shown["level"], shown["event"]) == ("r1", "warning", "step_failed")
    assert (shown["message"], shown["status"]) == ("*** was refused", 401)
    assert not log.failed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_costs_the_log_and_says_so() -> None:
    with closing(RunLog(Path("/dev/full"), str)) as log:
        log("r1", "info", "Started", {"message": "the load begins"})
        log("r1", "info", "Ended", {"message": "the load ends"})
    assert log.failed == "the log could not be written: No space left on device"
