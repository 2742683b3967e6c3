"""Two teams have LoadTests of one name in namespaces of their own: no dashboard takes the runs of one for those of the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from support.countingtarget import counting_target
from support.grafana import Shown, dashboard, panels
from support.prometheus import Prometheus, running_prometheus
from support.squallrun import Ended, Squall, manifest

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(240, func_only=True)]


@dataclass(frozen=True, slots=True)
class World:
    """A Prometheus with runs of two teams, one after the other: of orders, of payments, and of orders again."""

    prometheus: Prometheus
    runs: tuple[Ended, Ended, Ended]

    def show(self, uid: str, **chosen: str) -> Shown:
        began, ended = self.runs[0].summary.started_at, self.runs[-1].summary.ended_at
        return Shown(dashboard(uid), self.prometheus, unix(began) - 3, unix(ended) + 3, chosen)


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        prometheus = stack.enter_context(running_prometheus())
        target = stack.enter_context(counting_target())
        squall = Squall(tmp_path_factory.mktemp("runs"))
        stack.callback(squall.close)

        def run(team: str, limit: str) -> Ended:
            made: dict[str, Any] = manifest(
                target.url,
                duration="3s",
                steps=[{"name": "get", "http": {"url": "/"}}, {"think": {"duration": "50ms"}}],
                thresholds=[{"metric": "http_reqs", "expression": limit}],
                outputs={"prometheus": {"remoteWriteUrl": prometheus.remote_write_url}},
            )
            made["metadata"] |= {"name": "smoke", "namespace": team}
            return squall(made).ended()

        yield World(
            prometheus, (run("orders", "count>0"), run("payments", "count<1"), run("orders", "count>0"))
        )


def answers(shown: Shown, title: str) -> list[dict[str, Any]]:
    (panel,) = [each for each in panels(shown.of) if each["title"] == title and each["type"] != "stat"]
    return [series for _, found in shown.results(panel) for series in found]


def test_each_team_s_verdicts_are_its_own(world: World) -> None:
    title = "Verdicts of each LoadTest"
    shown = world.show("squall-fleet")
    found = {
        each["metric"]["namespace"]: {code for _, code in each["values"]} for each in answers(shown, title)
    }
    (panel,) = [each for each in panels(shown.of) if each["title"] == title]
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    told = {team: {words[code]["text"] for code in codes} for team, codes in found.items()}
    assert told == {"orders": {"Passed"}, "payments": {"Failed"}}


@pytest.mark.parametrize("title", ["Requests", "Failed requests", "p95 total time", "VUs"])
def test_what_is_under_way_is_told_by_team(world: World, title: str) -> None:
    found = [each["metric"] for each in answers(world.show("squall-fleet"), title)]
    assert sorted((each.get("namespace"), each["loadtest"]) for each in found) == [
        ("orders", "smoke"),
        ("payments", "smoke"),
    ]


def test_a_run_is_compared_with_one_of_the_same_team(world: World) -> None:
    first, other, last = (run.summary.run for run in world.runs)
    assert world.show("squall-compare", run=last).options["baseline"] == [first]
    assert world.show("squall-compare", run=other).options["baseline"] == []
