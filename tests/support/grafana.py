"""What Grafana does with a dashboard before it asks Prometheus: variables, its own macros, steps.

Grafana itself is not there in tests. So this does the part that decides what is asked - as Grafana's data source for Prometheus does it
from version 11 on - and the real Prometheus answers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.prometheus import Prometheus

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
SCRAPES = 1.0
"""Seconds: what the data source's settings would say, as the tests' Prometheus scrapes like that."""
_POINTS = 1000
"""As wide as a panel of a large screen."""
_USED = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")

Json = dict[str, Any]


def dashboard(uid: str) -> Json:
    """A dashboard as users get it."""
    read: Json = json.loads((DASHBOARDS / f"{uid}.json").read_text(encoding="utf-8"))
    return read


def panels(of: Json) -> Iterator[Json]:
    """All panels that show something, those of folded rows included."""
    for panel in of["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


@dataclass(slots=True)
class Shown:
    """A dashboard that somebody looks at.

    Attributes:
        of: The dashboard.
        prometheus: Its datasource.
        start: Of the time that is shown, Unix seconds.
        end: Of the same.
        chosen: Values of variables that whoever looks has chosen.
        options: What each variable of a query offers.
    """

    of: Json
    prometheus: Prometheus
    start: float
    end: float
    chosen: Mapping[str, str] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)
    _values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for variable in self.of["templating"]["list"]:
            name = variable["name"]
            if variable["type"] == "query":
                self.options[name] = self._ask(variable)
            self._values[name] = self.chosen.get(name) or self._value(variable)

    def _value(self, variable: Json) -> str:
        if variable.get("includeAll"):
            return str(variable["allValue"])
        if variable["type"] == "query":
            return next(iter(self.options[variable["name"]]), "")
        return str(variable["current"]["value"]) if variable["type"] != "datasource" else "prometheus"

    def _ask(self, variable: Json) -> list[str]:
        """The options of a variable, in Grafana's order."""
        text = self.expand(variable["query"]["query"], 0)
        if found := re.fullmatch(r"label_values\((.+), (\w+)\)", text, re.DOTALL):
            return self.prometheus.label_values(found[2], found[1], self.start, self.end)
        asked = re.fullmatch(r"query_result\((.+)\)", text, re.DOTALL)
        assert asked, text
        rows = [_row(each) for each in self.prometheus.query(asked[1], time=self.end)]
        matches = (re.search(variable["regex"].strip("/"), row) for row in rows)
        return list(dict.fromkeys(match[1] for match in matches if match))

    def expand(self, text: str, step: float, least: float = SCRAPES) -> str:
        """A query as Prometheus gets it; `least` is its own least step, which stands for the interval of scrapes."""
        macros = {
            "__range": f"{round(self.end - self.start)}s",
            "__interval": f"{round(step * 1000)}ms",
            "__rate_interval": f"{round(max(step + least, 4 * least) * 1000)}ms",
        }

        # What is in a text box may hold macros, but no variables.
        known = "|".join(macros)
        return re.sub(rf"\$({known})\b", lambda match: macros[match[1]], self._used(text, macros))

    def _used(self, text: str, macros: Mapping[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            return macros[name] if name in macros else self._values[name]

        return _USED.sub(value, text)

    def _least(self, target: Json) -> float:
        own = self._used(target.get("interval", ""), {})
        match = re.fullmatch(r"(\d+)(s|m)", own)
        return int(match[1]) * {"s": 1, "m": 60}[match[2]] if match else SCRAPES

    def results(self, panel: Json) -> Iterator[tuple[str, list[Json]]]:
        """Each query of a panel as it was asked, with what came back."""
        for target in panel["targets"]:
            points = panel.get("maxDataPoints", _POINTS)
            least = self._least(target)
            step = math.ceil(max(least, (self.end - self.start) / points))
            query = self.expand(target["expr"], step, least)
            if target.get("instant"):
                yield query, self.prometheus.query(query, time=self.end)
            else:
                yield query, self.prometheus.query_range(query, self.start, self.end, step)

    def events(self, annotation: Json) -> list[tuple[float, Json]]:
        """When an annotation is shown first, Unix seconds, and labels; one for each series."""
        series = self.prometheus.query_range(self.expand(annotation["expr"], 1), self.start, self.end, 1)
        at = 1 if annotation["useValueForTime"] else 0
        return [(float(each["values"][0][at]) / (1000 if at else 1), each["metric"]) for each in series]

    def choose(self, name: str, value: str) -> None:
        """Choose another value of a variable."""
        self._values[name] = value


def has_data(result: list[Json]) -> bool:
    """Whether there is anything to draw: a histogram, or a number that is one."""
    for series in result:
        points = (
            series.get("values") or [series["value"]]
            if "histograms" not in series and "histogram" not in series
            else []
        )
        if not points or any(not math.isnan(float(value)) for _, value in points):
            return True
    return False


def _row(sample: Json) -> str:
    """A row of `query_result`, to which a variable's pattern is applied."""
    labels = ",".join(f'{name}="{value}"' for name, value in sample["metric"].items() if name != "__name__")
    at, value = sample["value"]
    return f"{sample['metric'].get('__name__', '')}{{{labels}}} {value} {round(at * 1000)}"
