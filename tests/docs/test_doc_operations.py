"""What the page for operators says of reasons and deadlines is what the operator does."""

import re

import pytest
from support import served
from support.documentation import section, tables
from support.manifests import ROOT

from squall_operator import pods
from squall_operator.acting import RECONNECT_SECONDS
from squall_operator.model import Deadlines

PAGE = ROOT / "docs" / "operations.md"
CODE = ROOT / "operator" / "squall_operator"
_REASON = re.compile(r"(?:reason=|return |Lost\(|_hold\(seen, \"\w+\", )\"([A-Z][A-Za-z]+)\"")


def told() -> dict[str, str]:
    """By reason, when it ends a run, as the page says."""
    (table,) = (each for each in tables(section(PAGE, "Reasons, and what to do")) if each[0][0] == "reason")
    return {reason: cells[1] for cells in table[1:] for reason in re.findall(r"\w+", cells[0])}


def test_every_reason_is_explained() -> None:
    source = "".join((CODE / f"{name}.py").read_text("utf-8") for name in ("decide", "pods", "reasons"))
    reasons = set(_REASON.findall(source))
    assert {"LaunchFailed", "PodDeleted", "JobDeleted", "Halted", "Overdue"} <= reasons
    reasons |= {known.reason for known in pods._WAITING.values()} | {word for _, word in pods._REFUSED}
    assert reasons <= told().keys(), sorted(reasons - told().keys())


def test_what_keeps_pods_from_running_may_last_as_long_as_the_page_says() -> None:
    rows = told()
    graces = {(known.reason, known.grace_seconds) for known in pods._WAITING.values()}
    graces |= {(word, pods._NO_PODS_SECONDS) for _, word in pods._REFUSED}
    graces.add(("VolumesMissing", pods._MOUNTING_SECONDS))
    for reason, seconds in graces:
        assert (f"{seconds:g} s" if seconds else "at once") in rows[reason], reason
    assert f"{RECONNECT_SECONDS:g} s" in rows["RunnerLost"]


def test_deadlines_are_those_of_the_page() -> None:
    rows, deadlines = told(), Deadlines()
    assert f"{deadlines.start / 60:g} minutes" in rows["StartDeadline"]
    assert f"{deadlines.schedule / 60:g} minutes" in rows["Unschedulable"]
    assert f"{deadlines.hub:g} s" in rows["HubLost"]
    assert f"{deadlines.stop:g} s" in rows["Overdue"]


@pytest.mark.parametrize("part", ["operator", "hub"])
def test_metrics_are_those_that_are_served(part: str) -> None:
    found = tables(section(PAGE, "Metrics of operator and hub"))
    (table,) = (each for each in found if each[0][0] == f"of the {part}")
    kinds = {"info": ("_info", "gauge"), "counter": ("_total", "counter")}
    expected = []
    for family in served.families()[part]:
        ending, kind = kinds.get(family.type, ("", family.type))
        expected.append((f"{family.name}{ending}", kind))
    assert sorted((cells[0], cells[1]) for cells in table[1:]) == sorted(expected)
