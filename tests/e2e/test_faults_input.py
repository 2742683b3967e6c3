"""Wrong input through the real command: every problem at once, exit code 104, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.countingtarget import CountingTarget
from support.squallrun import Ended, Squall, manifest, step


def refused(ended: Ended, target: CountingTarget) -> str:
    assert ended.code == 104, ended.out
    assert ended.folder is None, "no results of a run that never was"
    assert "Traceback" not in ended.out
    assert target.count() == 0
    return ended.said


def test_all_problems_are_listed_at_once(squall: Squall, target: CountingTarget) -> None:
    test = manifest(
        target.url,
        duration="2 parsecs",
        steps=[step("get", url="/${nothing}", metod="GET"), {"think": {"duration": "20ms"}}],
        variables=[{"name": "token"}],
        files=[{"name": "users.csv", "path": "not/there.csv"}],
        data=[{"name": "users", "csv": "users.csv"}],
        thresholds=[{"metric": "http_req_duratoin", "expression": "p(95)<1s"}],
    )
    said = refused(squall(test).ended(), target)
    for wrong in ("2 parsecs", "metod", "token", "not/there.csv", "http_req_duratoin"):
        assert wrong in said
    assert "method" in said
    assert "http_req_duration" in said


def _nothing(test: dict[str, Any]) -> None:
    del test


def _not_given(test: dict[str, Any]) -> None:
    test["spec"]["scenarios"][0]["steps"][0]["http"]["url"] = "/${var.shop}"
    test["spec"]["variables"] = [
        {"name": "password", "secret": {"name": "shop", "key": "password"}, "env": "FAULT_PASSWORD"}
    ]


def _bad_data(test: dict[str, Any]) -> None:
    test["spec"]["files"] = [
        {"name": "users.csv", "inline": "name,mail\na,b\nc\n"},
        {"name": "empty.csv", "inline": ""},
    ]
    test["spec"]["data"] = [{"name": "users", "csv": "users.csv"}, {"name": "nobody", "csv": "empty.csv"}]


def _too_large(test: dict[str, Any]) -> None:
    test["metadata"]["annotations"] = {"note": "x" * 200_000}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], tuple[str, ...], tuple[str, ...]]] = {
    "unknown variant": (_nothing, ("--variant", "smoke"), ("smoke",)),
    "options that name nothing": (
        _nothing,
        ("--scenario", "vist", "--var", "shop=a"),
        ("vist", "visit", "--var shop"),
    ),
    "what is not given": (
        _not_given,
        (),
        ("shop", "password", "--var password=", "environment variable FAULT_PASSWORD"),
    ),
    "bad data": (_bad_data, (), ("users.csv", "empty.csv", "empty")),
    "manifest too large": (_too_large, (), ("128 KiB",)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_is_refused_with_what_to_do(squall: Squall, target: CountingTarget, wrong: str) -> None:
    spoil, arguments, named = WRONG[wrong]
    test = manifest(target.url)
    spoil(test)
    said = refused(squall(test, *arguments).ended(), target)
    for name in named:
        assert name in said
