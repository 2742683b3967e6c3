"""The verdict as JUnit XML, so that a pipeline shows which threshold or check failed.

The format is the one that CI systems agree on: https://github.com/testmoapp/junitxml describes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from squall.metrics import format as fmt

if TYPE_CHECKING:
    from squall.report.model import CapacitySummary, CheckSummary, Summary, ThresholdState

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(summary: Summary) -> str:
    """One suite each for the verdict, the thresholds, searches for capacity and the checks."""
    root = ET.Element("testsuites", name="squall", time=_seconds(summary))
    _verdict(root, summary)
    if summary.thresholds:
        _suite(root, summary, "thresholds", [_threshold(threshold) for threshold in summary.thresholds])
    if summary.capacity:
        _suite(root, summary, "capacity", [_capacity(found) for found in summary.capacity])
    if summary.checks:
        _suite(root, summary, "checks", _checks(summary))
    for tally in ("tests", "failures", "errors"):
        root.set(tally, str(sum(int(suite.get(tally, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _seconds(summary: Summary) -> str:
    return f"{summary.timings.load_seconds:.3f}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _case(name: str, failure: str = "", *, kind: str = "failure") -> ET.Element:
    case = ET.Element("testcase", name=_clean(name), classname="squall")
    if failure:
        ET.SubElement(case, kind, message=_clean(failure))
    return case


def _suite(root: ET.Element, summary: Summary, name: str, cases: list[ET.Element]) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_clean(f"{summary.name}.{name}"),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        time=_seconds(summary),
        timestamp=summary.started_at,
    )
    suite.extend(cases)


def _verdict(root: ET.Element, summary: Summary) -> None:
    verdict = summary.verdict
    message = "" if verdict.result == "Passed" else f"{verdict.result}: {verdict.message or verdict.reason}"
    kind = "failure" if verdict.result == "Failed" else "error"
    _suite(root, summary, "verdict", [_case("verdict", message, kind=kind)])


def _threshold(threshold: ThresholdState) -> ET.Element:
    name = f"{threshold.source} {threshold.expression}"
    missing = threshold.state == "noData" and threshold.no_data == "fail"
    if threshold.severity != "fail" or not (missing or threshold.state == "failed"):
        return _case(name)
    if missing:
        return _case(name, f"could not be judged: {threshold.message or 'never measured'}")
    seen = threshold.worst if threshold.worst is not None else threshold.value
    return _case(name, f"{fmt.quantity(seen, threshold.unit)} was measured")


def _capacity(found: CapacitySummary) -> ET.Element:
    """What was found; that not even the lowest load held is a failure, as it is the run's."""
    failure = found.message if found.ended == "nothing" else ""
    case = _case(f"{found.scenario}: {found.knee} {found.unit}", _clean(failure))
    ET.SubElement(case, "system-out").text = _clean(found.message)
    return case


def _checks(summary: Summary) -> list[ET.Element]:
    """Each check with its counts; a failed check fails no pipeline by itself, as it fails no run: thresholds decide."""
    return [_check(check) for check in summary.checks]


def _check(check: CheckSummary) -> ET.Element:
    case = _case(f"{check.scenario}/{check.step}: {check.name}")
    if check.fails:
        ET.SubElement(case, "system-out").text = f"failed {check.fails} of {check.fails + check.passes} times"
    return case
