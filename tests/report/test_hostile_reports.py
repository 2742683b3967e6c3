"""`squall report` of what somebody else has written: shown as it is, or refused with what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import portability
from support.summaries import summary

from squall.cli.main import cli
from squall.errors import UsageError

FORMS = ("console", "markdown", "junit", "json")
MADE = [json.loads(msgspec.json.encode(made())) for made in (summary, portability.summary)]
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    2**200,
    -1e308,
    1e308,
    "",
    "x" * 5000,
    "\x1b[2J\x00",
    "\ud800",
    [],
    {},
    [[]],
    "../../x",
]


def report(file: Path, form: str) -> Result:
    return CliRunner().invoke(cli, ["report", str(file), "--format", form], standalone_mode=False)


def changed(value: Any, places: list[int], odd: Any) -> Any:
    """A copy of plain data with something odd at a place."""
    if not places or not isinstance(value, dict | list) or not value:
        return odd
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[places[0] % len(keys)]
    copy = value.copy()
    copy[key] = changed(value[key], places[1:], odd)
    return copy


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.integers(0, 100), min_size=1, max_size=6),
    odd=st.sampled_from(ODD),
    form=st.sampled_from(FORMS),
    plain=st.sampled_from(MADE),
)
def test_a_hostile_report_is_shown_or_refused_in_words(
    tmp_path: Path, places: list[int], odd: Any, form: str, plain: Any
) -> None:
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(changed(plain, places, odd)), encoding="utf-8")
    result = report(file, form)
    assert result.exception is None or isinstance(result.exception, UsageError), result.exc_info
    if form != "json":
        assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, '{"a":' * 100_000, "NaN", "1" * 10_000, "\x00", '{"schema": "' + "x" * 10**6]
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "summary.json"
    file.write_text(text)
    for form in FORMS:
        assert isinstance(report(file, form).exception, UsageError)
