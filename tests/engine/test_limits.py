"""What this machine allows is known before the load."""

import resource
from collections.abc import Iterator
from typing import Any

import pytest

from squall_runner.engine.examples import Examples
from squall_runner.engine.preflight import raise_file_limit


@pytest.fixture
def low_limit() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_of_open_files_is_raised_to_what_the_plan_needs(low_limit: int) -> None:
    notes: list[Any] = []
    raise_file_limit(500, lambda *event, **fields: notes.append((event, fields)))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 564
    assert notes == []


def test_a_limit_that_is_too_low_is_told(low_limit: int) -> None:
    notes: list[Any] = []
    raise_file_limit(low_limit + 1, lambda *event, **fields: notes.append((event, fields)))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == low_limit
    ((event, fields),) = notes
    assert event == ("warning", "too_few_files")
    assert str(low_limit) in fields["message"]
    assert "ulimit" in fields["hint"]


def test_a_limit_that_suffices_stays(low_limit: int) -> None:
    raise_file_limit(10, lambda *_, **__: None)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256


def test_examples_are_bounded_however_many_failures_there_are() -> None:
    notes: list[Any] = []
    examples = Examples(lambda level, event, **fields: notes.append(fields), str.upper)
    for number in range(5000):
        examples.keep("timeout", "s", "step", f"message {number}")
        examples.keep("reset", "s", f"step {number}", "x" * 5000, "hint")
        examples.log("s", "step", f"text {number}", {"n": number})
    assert len(notes) == 1000
    assert [fields for fields in notes if fields.get("error") == "timeout"] == [
        {"error": "timeout", "scenario": "s", "step": "step", "message": "MESSAGE 0"}
    ]
    assert max(len(fields["message"]) for fields in notes) == 500
