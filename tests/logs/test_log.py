"""What a line of a log holds, and what never stands in it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squall.logs.choices import form_of, level_of
from squall.logs.log import Log
from squall.logs.reading import as_read, readable
from squall.spec.secrets import Secrets

LINE = {"timestamp": "2026-01-02T03:04:05Z", "level": "info", "event": "request", "run": "r1", "status": 200}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_when_how_grave_what_and_in_which_context(tmp_path: Path) -> None:
    context = {"loadtest": "shop", "namespace": "", "run": "r1", "runner": 0}
    with closing(Log(tmp_path / "log", "runner", context=context)) as log:
        log.lines.info("request", status=200, duration=0.25)
        log.tell("warning", "step_failed", {"message": "no", "hint": "", "level": "x", "event": "y"})
    first, second = lines(tmp_path / "log")
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert first["timestamp"].endswith("Z")
    del first["timestamp"], second["timestamp"]
    same = {"process": "runner", "loadtest": "shop", "run": "r1", "runner": 0}
    assert first == {"level": "info", "event": "request", **same, "status": 200, "duration": 0.25}
    assert second == {"level": "warning", "event": "step_failed", **same, "message": "no"}


@pytest.mark.parametrize(
    ("level", "seen"),
    [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")],
)
def test_lines_below_the_level_are_not_made(tmp_path: Path, level: Any, seen: str) -> None:
    with closing(Log(tmp_path / "log", "hub", level=level)) as log:
        for each in ("debug", "info", "warning", "error"):
            log.tell(each, each[0], {})
    assert "".join(line["event"] for line in lines(tmp_path / "log")) == seen


def test_the_first_choice_that_is_one_holds() -> None:
    assert level_of("", None, "warning", "debug") == "warning"
    assert level_of(None, "loud") == "info"
    assert form_of(None, "json") == "json"
    assert form_of("yaml") == "auto"


def test_what_libraries_log_is_there_too(tmp_path: Path) -> None:
    before, level = logging.root.handlers[:], logging.root.level
    try:
        with closing(
            Log(tmp_path / "log", "operator", mask=lambda text: text.replace("hunter2", "***"))
        ) as log:
            log.take_over()
            try:
                int("hunter2")
            except ValueError:
                logging.getLogger("kopf").exception("it said %s", "hunter2")
            logging.getLogger("kopf").debug("never seen")
    finally:
        logging.root.handlers[:], logging.root.level = before, level
    (line,) = lines(tmp_path / "log")
    assert (line["level"], line["event"], line["logger"]) == ("error", "it said ***", "kopf")
    assert line["exception"].endswith("with base 10: '***'")


def test_words_for_a_terminal_and_what_is_no_line_stays() -> None:
    text = as_read(json.dumps(LINE), without=("run",))
    assert text == "2026-01-02T03:04:05Z [info     ] request status=200"
    assert as_read("Traceback: 1", without=()) == "Traceback: 1"
    assert as_read('{"a": 1}') == '{"a": 1}'
    assert as_read("17") == "17"
    assert "\x1b[" in readable(LINE, colors=True)
    assert LINE["run"] == "r1"  # it was only read


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_costs_the_log_and_says_so() -> None:
    with closing(Log("/dev/full", "hub")) as log:
        log.lines.info("Started")
        log.lines.info("Ended")
    assert log.problem == "2 lines of the log could not be written: No space left on device"


def test_a_process_goes_on_and_ends_although_nobody_reads_its_log() -> None:
    code = (
        "from squall.logs.log import Log; log = Log('-', 'runner');"
        "[log.lines.info('request', text='x' * 1000) for _ in range(10_000)]; print(log.problem); log.close(0.1)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.wait(60) == 0
        assert b"lines of the log could not be written: whoever reads it is too slow" in process.stdout.read()


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=st.text(st.characters()), value=_ANYTHING)
def test_whatever_is_logged_is_one_line_of_json(tmp_path: Path, event: str, value: Any) -> None:
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    with closing(Log(path, "runner")) as log:
        log.tell("info", event, {"value": value})
    data = path.read_bytes()
    assert data.count(b"\n") == 1
    assert json.loads(data)["level"] == "info"


def ways(secret: str) -> dict[str, str]:
    """How a secret may turn up in a text."""
    encoded = {
        f"base64 after {before}": b64encode(b"u" * before + b":" + secret.encode() + b"!" * after).decode()
        for before, after in ((0, 0), (1, 1), (2, 2), (5, 0))
    }
    return {
        "itself": secret,
        "in a URL": quote(secret, safe=""),
        "in a form": quote_plus(secret),
        "in JSON": json.dumps(secret)[1:-1],
        "in JSON within JSON": json.dumps(secret, ensure_ascii=False)[1:-1],
        "in bytes": repr(secret.encode())[2:-1],
        **encoded,
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=12, max_size=40).filter(
        lambda text: len(set(text)) > 4
    ),
    where=st.sampled_from(["event", "field", "list", "dict"]),
)
def test_no_line_holds_a_secret_however_it_is_written(tmp_path: Path, secret: str, where: str) -> None:
    path = tmp_path / "log"
    for way, written in ways(secret).items():
        path.unlink(missing_ok=True)
        text = f"before {written} after"
        value: Any = {"field": text, "list": [[text]], "dict": {"a": {"b": text}}}.get(where, "")
        with closing(Log(path, "runner", mask=Secrets({"s": secret}).mask)) as log:
            log.tell("info", text if where == "event" else "e", {"value": value})
        (line,) = lines(path)
        shown = json.dumps(line, ensure_ascii=False)
        assert "***" in shown, way
        core = written if not way.startswith("base64") else written[4:-8]
        assert core not in shown, way
