"""The rules below deploy/components: `promtool` accepts them, they fire when they should and only then, and every name in them exists."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from prometheus_client import generate_latest
from support import served
from support.documentation import anchors, section
from support.manifests import ROOT
from support.promtool import promtool
from support.rights import DEPLOY, objects

from squall.export.names import families_of
from squall.export.run import FAMILIES
from squall.metrics.names import BUILT_IN
from squall_operator.lasting import Standing
from squall_operator.telemetry import Telemetry

FOLDERS = ("monitoring", "workload-alerts")
CASES = Path(__file__).parent
PAGE = ROOT / "docs" / "alerts.md"
FOREIGN = {"up", "rabbitmq_queue_messages_ready"}
"""Of Prometheus itself, and the example of a metric of a user's own."""
WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "on",
    "sum",
    "max",
    "count",
    "rate",
    "deriv",
    "increase",
    "absent",
    "histogram_quantile",
}
LABELS = {"namespace", "loadtest", "run", "pod", "hub", "error", "reason", "check", "queue", "endpoint", "le"}

Rule = dict[str, Any]


def groups(folder: str) -> list[dict[str, Any]]:
    (rules,) = objects(DEPLOY / "components" / folder / "rules.yaml")
    assert rules["kind"] == "PrometheusRule"
    return list(rules["spec"]["groups"])


def rules(folder: str, kind: str) -> list[Rule]:
    return [rule for group in groups(folder) for rule in group["rules"] if kind in rule]


ALERTS = {rule["alert"]: rule for folder in FOLDERS for rule in rules(folder, "alert")}


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of a component whose rules lie in the test's folder as Prometheus reads them."""
    name: str = request.param
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups(name)}), encoding="utf-8")
    return name


@pytest.mark.prometheus
def test_promtool_accepts_them(folder: str, tmp_path: Path) -> None:
    count = sum(len(group["rules"]) for group in groups(folder))
    assert f"{count} rules found" in promtool("check", "rules", str(tmp_path / "rules.yaml"))


@pytest.mark.prometheus
def test_they_fire_when_they_should_and_only_then(folder: str, tmp_path: Path) -> None:
    shutil.copy(CASES / f"{folder}.yaml", tmp_path / "cases.yaml")
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "cases.yaml"))


@pytest.mark.prometheus
def test_promtool_accepts_what_the_operator_serves() -> None:
    telemetry = Telemetry(structlog.get_logger())
    telemetry.called("GET", 200, 0.1)
    telemetry.failed(("default", "shop"), RuntimeError("x"))
    telemetry.leading(leads=True)
    telemetry.reviewed("allowed", 0.1)
    with telemetry.acting("Launch"), telemetry.looking():
        pass
    telemetry.gauge(
        waiting=1, standing=Standing({"Running": 1}, {"Running": 5.0}, 0.0), hubs={"http://hub": True}
    )
    text = generate_latest(telemetry.registry).decode()
    assert all(name in text for name in served.names() if name.startswith("squall_operator_"))
    promtool("check", "metrics", text=text)


def test_each_alert_is_seen_to_fire_and_to_be_silent() -> None:
    seen: dict[bool, set[str]] = {True: set(), False: set()}
    for folder in FOLDERS:
        cases = yaml.safe_load((CASES / f"{folder}.yaml").read_text(encoding="utf-8"))
        for check in (check for case in cases["tests"] for check in case.get("alert_rule_test", ())):
            seen[bool(check["exp_alerts"])].add(check["alertname"])
    assert seen == {True: set(ALERTS), False: set(ALERTS)}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_tells_what_whom_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    page, _, anchor = told["runbook_url"].partition("#")
    assert ROOT / page == PAGE
    assert anchor == name.lower()
    assert anchor in anchors(PAGE)
    text = section(PAGE, name)
    for part in ("**Means**", "**Look at**", "**Do**"):
        assert part in text, part


def test_the_page_has_no_alert_that_is_not_there() -> None:
    found = re.findall(r"^### (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found == list(ALERTS)


# -- names --------------------------------------------------------------------------------------------------------


def pushed() -> set[str]:
    """The names of all series that are pushed."""
    families = [*FAMILIES, *(each for metric in BUILT_IN.values() for each in families_of(metric))]
    parts = ("", "_bucket", "_count", "_sum")
    return {
        f"{each.name}{part}"
        for each in families
        for part in (parts if each.kind == "histogram" else parts[:1])
    }


def names_in(expression: str) -> set[str]:
    """What an expression names that is no word of PromQL's, no label and no value of one."""
    plain = re.sub(r'"[^"]*"|\[[^]]*\]|\{[^}]*\}', " ", expression)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", plain)) - WORDS - LABELS


def test_every_metric_of_a_rule_exists() -> None:
    for folder in FOLDERS:
        recorded = {rule["record"] for rule in rules(folder, "record")}
        known = served.names() | pushed() | recorded | FOREIGN
        used = set()
        for rule in (*rules(folder, "record"), *rules(folder, "alert")):
            names = names_in(rule["expr"])
            assert names, rule["expr"]
            assert names <= known, names - known
            used |= names
        assert recorded <= used | {
            "run:squall_http_reqs:rate1m",
            "run:squall_http_req_response_time_seconds:p95_1m",
        }


def test_a_name_that_does_not_exist_would_be_found() -> None:
    assert names_in('sum by (run) (rate(squall_typo_total{status="5"}[1m])) > 0 and on () count(up)') == {
        "squall_typo_total",
        "up",
    }
