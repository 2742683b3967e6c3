"""The dashboards as files: what Grafana needs to show them, and what people need to read them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

import pytest
import structlog
from support.documentation import section, tables
from support.grafana import DASHBOARDS, Json, dashboard, panels

from squall.export.model import Receiver, RemoteWrite
from squall.export.names import PREFIX, SHARD_PREFIX, families_of
from squall.export.run import FAMILIES
from squall.hub import telemetry
from squall.hub.hub import Hub
from squall.metrics.names import BUILT_IN
from squall_operator.telemetry import Telemetry

PAGE = DASHBOARDS.parent / "docs" / "grafana.md"
UIDS = ["squall-run", "squall-fleet", "squall-compare", "squall-operator"]
OURS = {"type": "prometheus", "uid": "${datasource}"}
TYPES = {"timeseries", "stat", "table", "heatmap", "state-timeline", "status-history"}
PROPERTIES = {"unit", "color", "mappings", "links"} | {
    f"custom.{each}" for each in ("hidden", "lineStyle", "fillOpacity", "cellOptions")
}
MACROS = {"__range", "__interval", "__rate_interval", "__data"}


def every() -> Iterator[tuple[str, Json]]:
    """All panels of all dashboards."""
    for uid in UIDS:
        for panel in panels(dashboard(uid)):
            yield f"{uid}: {panel['title']}", panel


def texts(of: object) -> Iterator[str]:
    """All strings in a value."""
    if isinstance(of, str):
        yield of
    elif isinstance(of, dict):
        for each in of.values():
            yield from texts(each)
    elif isinstance(of, list):
        for each in of:
            yield from texts(each)


def test_there_are_no_others() -> None:
    assert sorted(path.stem for path in DASHBOARDS.glob("*.json")) == sorted(UIDS)
    assert [dashboard(uid)["uid"] for uid in UIDS] == UIDS
    assert len({dashboard(uid)["title"] for uid in UIDS}) == len(UIDS)


def test_numbers_are_left_to_grafana() -> None:
    for uid in UIDS:
        of = dashboard(uid)
        assert "id" not in of
        assert all("id" not in panel for panel in (*of["panels"], *panels(of)))


def test_every_panel_says_what_it_shows_and_in_what_unit() -> None:
    for name, panel in every():
        assert panel["type"] in TYPES, name
        assert panel["description"].endswith("."), name
        assert panel["fieldConfig"]["defaults"]["unit"], name


def test_every_query_goes_to_the_chosen_datasource_and_names_its_series() -> None:
    for name, panel in every():
        assert panel["datasource"] == OURS, name
        assert panel["targets"], name
        ids = [each["refId"] for each in panel["targets"]]
        assert len(set(ids)) == len(ids), name
        for target in panel["targets"]:
            assert target["datasource"] == OURS, name
            assert target["legendFormat"], name
            assert target.get("instant", False) != target.get("range", False), name
            scraped = re.search(r"squall_(operator|hub)_|process_|\$\{system_", target["expr"])
            wanted = "" if scraped or target.get("instant") else "$resolution"
            assert target.get("interval", "") == wanted, name


def test_overrides_are_of_queries_and_columns_that_there_are() -> None:
    for name, panel in every():
        ids = {each["refId"] for each in panel["targets"]}
        columns = {"severity", "run"}
        for change in panel.get("transformations", ()):
            columns |= set(change["options"].get("renameByName", {}).values())
        columns |= {each["legendFormat"] for each in panel["targets"]}
        for override in panel["fieldConfig"]["overrides"]:
            matcher = override["matcher"]
            known = ids if matcher["id"] == "byFrameRefID" else columns
            assert matcher["options"] in known, name
            assert {each["id"] for each in override["properties"]} <= PROPERTIES, name


def test_one_meaning_has_one_colour() -> None:
    colours: dict[str, set[str]] = defaultdict(set)
    for _, panel in every():
        legends = {each["refId"]: each["legendFormat"] for each in panel["targets"]}
        for override in panel["fieldConfig"]["overrides"]:
            for each in override["properties"]:
                if each["id"] == "color":
                    what = legends.get(override["matcher"]["options"], override["matcher"]["options"])
                    colours[what].add(each["value"]["fixedColor"])
    assert len(colours) > 15
    assert {what: found for what, found in colours.items() if len(found) > 1} == {}


def test_panels_lie_beside_each_other() -> None:
    for uid in UIDS:
        of = dashboard(uid)
        places = [panel["gridPos"] for panel in (*of["panels"], *panels(of)) if panel["type"] != "row"]
        for one in places:
            assert one["x"] + one["w"] <= 24, uid
        # Folded rows begin where the one before does not push them yet.
        open_ = [panel["gridPos"] for panel in of["panels"]]
        for one, other in combinations(open_, 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], uid


@pytest.mark.parametrize("uid", UIDS)
def test_variables_are_all_known_and_all_used(uid: str) -> None:
    of = dashboard(uid)
    known = {each["name"] for each in of["templating"]["list"]}
    used = set()
    for text in texts(of):
        used |= {one or other for one, other in re.findall(r"\$\{(\w+)[^}]*\}|\$(\w+)", text)}
    used |= {panel["repeat"] for panel in panels(of) if panel.get("repeat")}
    assert used - MACROS == known
    for each in of["templating"]["list"]:
        assert each.get("description") or each.get("hide") == 2, each["name"]


def test_every_series_is_one_that_there_is() -> None:
    known = {family.name for family in FAMILIES}
    for prefix in (PREFIX, SHARD_PREFIX):
        for metric in BUILT_IN.values():
            for family in families_of(metric, prefix):
                ends = ("", "_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
                known |= {family.name + end for end in ends}
    hub = telemetry.registry_of(
        Hub(b"k", remote_write=RemoteWrite(receiver=Receiver(url="http://127.0.0.1:9")))
    )
    for metric in (*Telemetry(structlog.get_logger()).registry.collect(), *hub.collect()):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        # The operator's histograms are classic; panels ask for native ones as well.
        known |= {name + end for end in (("", "_bucket", "_count") if metric.type == "histogram" else ("",))}
    named: set[str] = set()
    for uid in UIDS:
        for text in texts(dashboard(uid)):
            named |= set(re.findall(r"\bsquall_\w+(?=[{)\[ ]|$)", text))
    assert len(named) > 80
    assert named - known == set()


def test_text_boxes_are_those_of_the_page() -> None:
    (table,) = tables(section(PAGE, "The system under test"))
    boxes = [each for each in dashboard("squall-run")["templating"]["list"] if each["type"] == "textbox"]
    assert table[1:] == [[each["label"], each["name"], each["query"]] for each in boxes]


def test_links_find_what_they_carry_in_their_row() -> None:
    (panel,) = [
        each
        for each in panels(dashboard("squall-fleet"))
        if each["title"] == "Runs" and each["type"] == "table"
    ]
    columns = set(panel["transformations"][1]["options"]["renameByName"].values()) | {"run", "loadtest"}
    carried = {name for text in texts(panel) for name in re.findall(r"__data\.fields\.(\w+)", text)}
    assert carried == {"loadtest", "run", "from", "to"}
    assert carried <= columns


def test_links_lead_to_dashboards_that_there_are() -> None:
    found = {
        name for uid in UIDS for text in texts(dashboard(uid)) for name in re.findall(r"/d/([\w-]+)", text)
    }
    assert found
    assert found <= set(UIDS)
    for uid in UIDS:
        (link,) = dashboard(uid)["links"]
        assert set(link["tags"]) <= set(dashboard(uid)["tags"])


def test_the_component_has_them_all() -> None:
    text = (DASHBOARDS / "kustomization.yaml").read_text(encoding="utf-8")
    assert sorted(re.findall(r"files: \[(\S+)\.json\]", text)) == sorted(UIDS)
