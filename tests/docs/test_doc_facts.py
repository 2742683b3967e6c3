"""What the documentation says of formats, options and words is what the code does."""

import re
from typing import Any

import msgspec
import pytest
from msgspec import inspect
from support.documentation import blocks, section, tables, type_word
from support.manifests import ROOT

from squall.cli import pages
from squall.cli.generate import generated_files
from squall.expr import Scope, compile_expression
from squall.hub.series import NAME as SERIES_NAME
from squall.hub.series import row
from squall.local import run as local
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN, TAGS
from squall.metrics.series import Aggregate, Counter, Gauge, Rate, SeriesKey
from squall.report import evmjournal, folder
from squall.report.figures import values_of
from squall.report.model import Summary
from squall.spec import generate
from squall.spec.language import STEP_KINDS
from squall.spec.loadtest import Safety, Saturation, Threshold
from squall.spec.scenarios import EXECUTOR_FIELDS
from squall_runner.http import errors
from squall_runner.recording import MAX_SERIES
from squall_runner.steps import failure

RESULTS = ROOT / "docs" / "results.md"
VERDICT = ROOT / "docs" / "verdict.md"
SCENARIOS = ROOT / "docs" / "scenarios.md"


def _rows(page: Any, heading: str, first: str) -> dict[str, list[str]]:
    """The rows of the table in a section whose first column is called so, by their first cell."""
    table = next(each for each in tables(section(page, heading)) if each[0][0] == first)
    return {cells[0]: cells[1:] for cells in table[1:]}


# -- generated pages ----------------------------------------------------------------------------------------------


def test_the_generated_pages_are_up_to_date() -> None:
    assert generate.stale(ROOT, generated_files) == "", "run `make generate`"


def test_make_writes_and_checks_all_of_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert makefile.count("-m squall.cli.generate") == 2
    assert set(generate.generated_files()) < set(generated_files())


def test_a_name_without_a_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="new"):
        pages._named({"vu": "a number"}, ["vu", "new"])


def test_every_metric_has_tags_that_exist() -> None:
    for name in BUILT_IN:
        tags = pages._tags_of(name)
        assert set(tags.split(", ") if tags else ()) <= set(TAGS), name


def test_the_cap_on_series_is_the_one_that_is_told() -> None:
    assert f"{MAX_SERIES:,}" in (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert f"{MAX_SERIES:,}" in SCENARIOS.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500ms", 0.5),
        ("1m30s", 90),
        ("1h + 1d", 90_000),
        ("1ns + 1us < 1ms", True),
        ("10KiB", 10_240),
        ("1B + 1KB + 1kB + 1MB + 1GB", 1_001_002_001),
        ("1MiB + 1GiB", 2**20 + 2**30),
        ("50%", 0.5),
        ("10 % 3", 1),
        ("200 <= 204 < 300", True),
        ("[1, 2] + [3]", [1, 2, 3]),
        ("'ab' * 2", "abab"),
        ("{'a': 1}.a + {'a': 1}['a']", 2),
        ("[1, 2, 3][-1] + [1, 2, 3][0]", 4),
        ("[1, 2, 3][1:3]", [2, 3]),
        ("1 if true else 2", 1),
        ("3 // 2 + 2 ** 3", 9),
        ("(1 << 4 | 1) & 17 ^ 1", 16),
        ("'a' not in ['b'] and not false", True),
        ("len('aaa')", 3),
    ],
)
def test_the_grammar_of_expressions_is_as_told(text: str, value: Any) -> None:
    assert compile_expression(text, Scope()).evaluate({}) == value


# -- results ------------------------------------------------------------------------------------------------------


def _structs(kind: type[msgspec.Struct]) -> dict[str, inspect.StructType]:
    found: dict[str, inspect.StructType] = {}
    waiting: list[Any] = [inspect.type_info(kind)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, inspect.StructType) and each.cls.__name__ not in found:
            found[each.cls.__name__] = each
            waiting += [field.type for field in each.fields]
        elif isinstance(each, inspect.VarTupleType):
            waiting.append(each.item_type)
        elif isinstance(each, inspect.UnionType):
            waiting += each.types
    return found


@pytest.mark.parametrize(("name", "struct"), list(_structs(Summary).items()))
def test_the_schema_of_the_summary_is_documented(name: str, struct: inspect.StructType) -> None:
    documented = {field: cells[0] for field, cells in _rows(RESULTS, f"### {name}"[4:], "field").items()}
    assert documented == {field.encode_name: type_word(field.type) for field in struct.fields}
    assert list(documented) == [field.encode_name for field in struct.fields]


def test_the_schema_has_no_more_than_the_summary() -> None:
    headings = re.findall(r"^### (\w+)$", RESULTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(_structs(Summary))


def test_the_files_of_the_results_folder() -> None:
    names = {folder.SUMMARY, folder.MANIFEST, folder.LOG, folder.SERIES, "report.md", "junit.xml"}
    names |= {folder.RUNNER_LOG, folder.RUNNERS, f"{local.FILES}/", evmjournal.JOURNAL}
    assert set(_rows(RESULTS, "Results", "file")) == names
    assert folder.SERIES == SERIES_NAME


def _measured() -> dict[str, Aggregate]:
    samples = Histogram()
    samples.record(1.0)
    return {"counter": Counter(2.0), "gauge": Gauge.at(1.0), "rate": Rate(1, 2), "trend": samples}


def test_the_values_of_each_kind_of_metric() -> None:
    documented = _rows(RESULTS, "summary.json", "kind")
    assert set(documented) == set(_measured())
    for kind, aggregate in _measured().items():
        told = [value.split(" ")[0] for value in documented[kind][0].split(", ")]
        assert told == list(values_of(aggregate, 1.0)), kind


def test_the_rows_of_the_series_file() -> None:
    table = next(each for each in tables(section(RESULTS, "series.jsonl.gz")) if each[0][0] == "key")
    always = {cells[0] for cells in table[1:] if cells[1] == "all"}
    documented = {cells[1]: set(cells[0].split(", ")) for cells in table[1:] if cells[1] != "all"}
    key = SeriesKey.of("m", scenario="s")
    samples = _measured()["trend"]
    assert {kind: set(row(0, key, each)) - always for kind, each in _measured().items()} == documented
    assert always <= set(row(0, key, samples))
    assert "g" not in row(0, SeriesKey("m"), samples)
    assert row(0, key, samples)["t"] == 1


def test_the_rows_that_are_shown_are_such_rows() -> None:
    shown = [msgspec.json.decode(each.text) for each in blocks("json") if each.page == RESULTS]
    key = SeriesKey.of(shown[0]["m"], **shown[0]["g"])
    assert row(int(shown[0]["t"]) - 1, key, Counter(shown[0]["v"])) == shown[0]


# -- verdict ------------------------------------------------------------------------------------------------------


def test_every_option_of_a_threshold_is_told() -> None:
    keys = {field.alias or name for name, field in Threshold.model_fields.items()}
    assert set(_rows(VERDICT, "Thresholds", "option")) | {"metric", "expression"} == keys


def test_every_limit_of_safety_is_told() -> None:
    page = VERDICT.read_text(encoding="utf-8") + (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    for name, field in Safety.model_fields.items():
        assert field.alias or name in page
        assert re.search(rf"\b{field.alias or name}\b", page), name
    told = _rows(VERDICT, "Invalid", "limit of safety.saturation")
    defaults = {field.alias or name: field.default for name, field in Saturation.model_fields.items()}
    assert {name: cells[0] for name, cells in told.items()} == defaults


def test_the_reasons_are_those_that_the_code_gives() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for part in ("core/squall", "runner/squall_runner")
        for path in (ROOT / part).rglob("*.py")
    )
    words = [word for cell in _rows(VERDICT, "Results", "reason") for word in cell.split(", ")]
    assert len(words) > 20
    for word in words:
        assert f'"{word}"' in code or f'f"{{word}}{word.removeprefix("Setup")}"' in code, word


# -- scenarios ----------------------------------------------------------------------------------------------------


def test_every_executor_and_every_kind_of_step_is_told() -> None:
    assert list(_rows(SCENARIOS, "Load models", "executor")) == list(EXECUTOR_FIELDS)
    steps = SCENARIOS.read_text(encoding="utf-8").partition("\n## Steps\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (.+)$", steps, re.MULTILINE)
    assert [kind for heading in headings for kind in heading.split(", ")] == [*STEP_KINDS]


def test_every_class_of_failure_is_told() -> None:
    told = {word for cell in _rows(SCENARIOS, "http", "class") for word in cell.split(", ")}
    requests = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)}
    steps = {value for name, value in vars(failure).items() if name.isupper() and isinstance(value, str)}
    assert told == {each for each in requests | steps if not each.startswith(";")} - {"internal"} | {
        "http_4xx",
        "http_5xx",
    }
