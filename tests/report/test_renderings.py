from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text
from support.summaries import histogram, summary, threshold, totals

from squall.metrics.series import Counter, Rate, SeriesKey
from squall.report import console, junit, markdown
from squall.report.findings import findings
from squall.report.model import CapacitySummary, ErrorSummary, GeneratorSummary, LevelResult, VerdictSummary
from squall.report.terminal import SafeConsole

HOSTILE = "a|b <script>alert(1)</script> [red]x[/red] `code` \x1b[31m\nnew *line*"


def on_terminal(**changes: Any) -> str:
    buffer = io.StringIO()
    console.show(summary(**changes), Console(file=buffer, width=160))
    return buffer.getvalue()


def test_the_terminal_shows_verdict_thresholds_checks_and_errors() -> None:
    text = on_terminal()
    for part in (
        "Failed",
        "p(95)<100ms",
        "400 ms",
        "status is 200",
        "no answer within 30s",
        "cart_time",
        "silver",
    ):
        assert part in text
    assert text.rindex("1 of 2 thresholds failed") > text.index("Requests")


@pytest.mark.parametrize("result", ["Passed", "Failed", "Invalid", "Aborted", "Error"])
def test_every_result_is_shown_everywhere(result: Any) -> None:
    verdict = VerdictSummary(result=result, reason="Because", message="so it is")
    assert result in on_terminal(verdict=verdict)
    assert f"shop: {result}" in markdown.render(summary(verdict=verdict))
    root = ET.fromstring(junit.render(summary(verdict=verdict, thresholds=(), tiers=(), totals={})))
    broken = int(root.get("failures", "0")) + int(root.get("errors", "0"))
    assert broken == (0 if result == "Passed" else 1)


def test_markdown_has_every_part() -> None:
    text = markdown.render(summary())
    for title in (
        "Performance", "Thresholds", "Tiers", "Stages", "Steps", "Own metrics", "Checks", "Errors", "Load", "Findings",
        "Recommendations", "Timeline",
    ):  # fmt: skip
        assert f"\n## {title}\n" in text
    assert "2030-01-02T03:04:05.000Z" in text
    assert "85% of requests" in text


def test_data_of_the_target_cannot_become_markup() -> None:
    given = summary()
    hostile = summary(examples={("timeout", "browse", "cart"): HOSTILE})
    text = markdown.render(hostile)
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| timeout")]
    plain = [line for line in markdown.render(given).splitlines() if line.startswith("| timeout")]
    assert len(rows) == len(plain) == 1
    assert rows[0].replace("\\|", "").count("|") == plain[0].count("|")


def test_data_of_the_target_cannot_break_junit() -> None:
    root = ET.fromstring(junit.render(summary(name="a\x00b\x1b<&>")))
    assert root.find("testsuite") is not None


def test_data_of_the_target_is_no_markup_on_the_terminal() -> None:
    assert "[red]x[/red]" in on_terminal(examples={("timeout", "browse", "cart"): HOSTILE})


ORDERS = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\x08\u202etxt.exe"
"""Clears the screen, sets the title, turns red, goes back, and turns round what follows."""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_data_of_the_target_gives_no_orders_to_the_terminal(is_terminal: bool) -> None:
    hostile = summary(name=f"shop{ORDERS}", examples={("timeout", "browse", "cart"): ORDERS})
    buffer = io.StringIO()
    shown = SafeConsole(file=buffer, width=200, force_terminal=is_terminal, color_system=None)
    console.show(hostile, shown)
    text = buffer.getvalue()
    assert "owned" in text
    assert not set("\x1b\x07\x9b\r\x08\u202e") & set(text)
    assert not set("\x1b\x07\x9b\r\x08\u202e") & set(markdown.render(hostile))


def test_what_is_renewed_in_place_gives_no_orders_either() -> None:
    buffer = io.StringIO()
    shown = SafeConsole(file=buffer, width=80, force_terminal=True, color_system=None)
    with Live(Text("before"), console=shown, auto_refresh=False) as live:
        live.update(Text(f"a{ORDERS}b"), refresh=True)
    text = buffer.getvalue()
    assert "owned" in text
    assert [order for order in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e") if order in text] == []


def test_junit_tells_each_threshold_and_check() -> None:
    root = ET.fromstring(junit.render(summary()))
    suites = {suite.get("name"): suite for suite in root}
    assert (suites["shop.thresholds"].get("tests"), suites["shop.thresholds"].get("failures")) == ("2", "1")
    failure = suites["shop.thresholds"].find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "400 ms was measured"


def test_a_failed_check_is_told_and_fails_no_pipeline() -> None:
    root = ET.fromstring(junit.render(summary()))
    suite = next(suite for suite in root if suite.get("name") == "shop.checks")
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert suite.findtext("testcase/system-out") == "failed 60 of 200 times"


def test_a_threshold_that_only_warns_fails_no_pipeline() -> None:
    root = ET.fromstring(junit.render(summary(thresholds=(threshold(severity="warn"),))))
    assert next(suite for suite in root if suite.get("name") == "shop.thresholds").get("failures") == "0"


@pytest.mark.parametrize(("meaning", "failures"), [("fail", 1), ("pass", 0)])
def test_what_could_not_be_judged_fails_only_where_that_is_asked(meaning: Any, failures: int) -> None:
    missing = threshold("noData", message="1 samples, fewer than minSamples (50)", no_data=meaning)
    told = summary(thresholds=(missing,))
    root = ET.fromstring(junit.render(told))
    suite = next(suite for suite in root if suite.get("name") == "shop.thresholds")
    assert suite.get("failures") == str(failures)
    assert any("fewer than minSamples" in finding.text for finding in findings(told)) == bool(failures)


def test_findings_follow_from_the_figures() -> None:
    texts = [finding.text for finding in findings(summary())]
    assert any("broke `p(95)<100ms`: 400 ms" in text for text in texts)
    assert any("most frequent failure is timeout at browse/cart: 55 times" in text for text in texts)
    assert any("browse: 60 of 200 iterations ended early by a failed step, 30%" in text for text in texts)
    assert any(
        "began to break in stage hold: 30% of its requests failed, 0% in the stage before" in text
        for text in texts
    )
    assert any("slowest step is browse/cart" in text for text in texts)
    assert any("too busy in 2% of the run" in text for text in texts)


def test_a_failed_check_that_decides_nothing_is_told_to() -> None:
    def advice(**changes: Any) -> str:
        return "".join(found.advice for found in findings(summary(**changes)) if "Check" in found.text)

    assert "No threshold is on `checks`, so a failed one decides nothing." in advice()
    bound = threshold(source="checks{scenario:browse}", expression="rate>99%")
    assert advice(thresholds=(bound,)) == "`squall try` shows what it looks at."


def test_a_run_that_never_began_shows_no_figures_of_it() -> None:
    verdict = VerdictSummary(result="Error", reason="SetupFailed", message="setup failed")
    text = on_terminal(verdict=verdict, totals={}, thresholds=(), tiers=())
    assert "setup failed" in text
    assert "Iterations" not in text
    assert "Iterations" in on_terminal()


def test_sentences_are_not_cut_where_there_is_no_terminal() -> None:
    example = "nothing came " * 30
    told = {("timeout", "browse", "cart"): example}
    assert example.strip() in on_terminal(examples=told)


def test_markdown_has_paragraphs_and_tables_apart() -> None:
    head = markdown.render(summary()).split("\n\n")
    assert head[0].startswith("# shop: ")
    assert head[1] == "1 of 2 thresholds failed"
    assert head[2].startswith("|  |  |\n| --- | --- |\n")


def test_runners_that_were_lost_are_named_not_counted() -> None:
    (found,) = [
        each.text
        for each in findings(msgspec.structs.replace(summary(), lost_runners=(0, 3)))
        if "Lost" in each.text
    ]
    assert found.startswith("Lost on the way: runner 0, runner 3.")


@pytest.mark.parametrize(("length", "ends"), [(300, "raise it"), (301, "...")])
def test_the_terminal_shortens_an_example_visibly_and_files_do_not(length: int, ends: str) -> None:
    example = "x" * (length - 8) + "raise it"
    (first, *_) = summary().errors
    long = msgspec.structs.replace(summary(), errors=(msgspec.structs.replace(first, example=example),))
    assert console.shortened(example).endswith(ends)
    assert len(console.shortened(example)) == 300
    assert example in markdown.render(long)


def test_a_clean_run_has_no_findings_of_failure() -> None:
    clean = summary(thresholds=(), totals={}, saturated_share=0.0)
    assert findings(clean) == ()
    assert isinstance(clean.errors, tuple)
    assert not any(isinstance(error, ErrorSummary) for error in clean.errors)


def test_iterations_groups_and_jobs_are_shown() -> None:
    shown, written = on_terminal(), markdown.render(summary())
    (row,) = [line for line in shown.splitlines() if line.startswith("browse ") and "5 VUs" in line]
    assert row.split()[:6] == ["browse", "140", "60", "0", "0", "-"]
    for part in ("Groups", "browse/whole", "Jobs", "browse/render", "25%"):
        assert part in shown
    for part in ("## Groups", "browse/whole", "## Jobs", "browse/render"):
        assert part in written


def test_failures_that_are_no_requests_are_errors_too() -> None:
    errors = {(error.error, error.step): error.count for error in summary().errors}
    assert errors["extract", "cart"] == 7
    assert "extract" in on_terminal()
    assert "extract" in markdown.render(summary())


def test_a_failed_request_is_told_once_with_its_status() -> None:
    place = {"error": "http_5xx", "scenario": "browse", "step": "cart"}
    given = totals() | {SeriesKey.of("step_failures", **place): Counter(5)}
    rows = [(row.status, row.count) for row in summary(totals=given).errors if row.error == "http_5xx"]
    assert rows == [("503", 5)]


def test_a_run_of_polls_alone_has_not_sent_nothing() -> None:
    polls = {key: value for key, value in totals().items() if key.metric.startswith(("poll", "job"))}
    text = markdown.render(summary(totals=polls))
    assert "Only polls: 12 requests." in text
    assert "No request was sent" not in text


def test_a_long_tail_is_not_found_where_most_requests_failed() -> None:
    tail = histogram(*([0.001] * 1500), *([1.0] * 30))
    slow: dict[SeriesKey, Any] = {SeriesKey.of("http_req_total", step="s"): tail}
    ok = slow | {SeriesKey.of("http_req_failed", step="s"): Rate(0, 1530)}
    failing = slow | {SeriesKey.of("http_req_failed", step="s"): Rate(1500, 1530)}
    assert any("slowest 1 %" in finding.text for finding in findings(summary(totals=ok)))
    assert not any("slowest 1 %" in finding.text for finding in findings(summary(totals=failing)))


def _capacity(**changes: Any) -> CapacitySummary:
    levels = (
        LevelResult(
            number=1, target=400, at_seconds=0.0, seconds=5.0, purpose="grow", outcome="held", p95_seconds=0.012,
            error_rate=0.0, requests_per_second=800.0, iterations_per_second=400.0,
        ),
        LevelResult(
            number=2, target=600, at_seconds=8.0, seconds=5.0, purpose="grow", outcome="failed", limiting=HOSTILE,
            observed=0.7, observed_unit="s", p95_seconds=0.7, error_rate=0.5, requests_per_second=1000.0,
            iterations_per_second=500.0,
        ),
        LevelResult(
            number=3, target=500, at_seconds=16.0, seconds=5.0, purpose="bisect", outcome="failed",
            limiting="http_reqs count>1",
        ),
    )  # fmt: skip
    given: dict[str, Any] = {
        "scenario": "browse",
        "unit": "iterations/s",
        "knee": 400,
        "confirmed": True,
        "upper": 500,
        "ended": "found",
        "message": "400 iterations/s is the highest load that held",
        "levels": levels,
    }
    return CapacitySummary(**(given | changes))


def test_the_capacity_of_a_chain_is_one_of_transactions() -> None:
    levels = tuple(msgspec.structs.replace(each, counts="transactions") for each in _capacity().levels)
    found = (_capacity(levels=levels),)
    header = next(line for line in on_terminal(capacity=found).splitlines() if "seen p95" in line)
    assert "transactions" in header
    assert "requests" not in header
    assert "| Seen p95 | Failed | Transactions |" in markdown.render(summary(capacity=found))


def test_a_capacity_is_shown_everywhere_with_its_curve_in_order_of_load() -> None:
    terminal, text = on_terminal(capacity=(_capacity(),)), markdown.render(summary(capacity=(_capacity(),)))
    for view in (terminal, text):
        assert "400 iterations/s is the highest load that held" in view
        assert (
            view.index("400 iterations/s") < view.index("500 iterations/s ") < view.index("600 iterations/s ")
        )
        assert "700 ms" in view
        assert "but nothing was measured" in view
    assert "\n## Capacity: browse\n" in text
    assert "<script>" not in text


def test_a_capacity_in_junit_fails_only_when_there_is_none() -> None:
    for ended, failures in (("found", 0), ("nothing", 1)):
        root = ET.fromstring(junit.render(summary(capacity=(_capacity(ended=ended),))))
        suite = next(each for each in root if each.get("name") == "shop.capacity")
        assert suite.get("failures") == str(failures)
        assert "400 iterations/s is" in "".join(suite.itertext())


@pytest.mark.parametrize(
    ("generator", "said"),
    [
        ({}, []),
        ({"cpu_throttled_seconds": 0.5, "cpu_wait_seconds": 2.0, "send_stall_seconds": 0.2}, []),
        ({"files_used_peak": 0.5, "ports_used_peak": 0.89}, []),
        ({"cpu_throttled_seconds": 12.0}, ["throttled by their CPU limit for 12 s"]),
        ({"cpu_wait_seconds": 9.0}, ["waited 9 s in all for a core"]),
        ({"send_stall_seconds": 3.0}, ["could send nothing for 3 s"]),
        ({"files_used_peak": 0.95}, ["95% of the files open"]),
        ({"ports_used_peak": 1.2}, ["of the local ports for one destination"]),
        ({"clock_steps": 2}, ["was set during the run"]),
        (
            {"saturated_share": 0.3, "saturation": "in 30% of the run it was slow; use more cores"},
            ["In 30% of the run it was slow."],
        ),
        ({"saturated_share": 0.3}, ["too busy in 30% of the run"]),
    ],
)
def test_what_the_generator_suffered_is_told_when_it_matters(generator, said):
    whole = summary()
    plain = {
        finding.text for finding in findings(msgspec.structs.replace(whole, generator=GeneratorSummary()))
    }
    told = findings(msgspec.structs.replace(whole, generator=GeneratorSummary(**generator)))
    new = [finding.text for finding in told if finding.text not in plain]
    assert len(new) == len(said)
    assert all(words in text for words, text in zip(said, new, strict=True))
    if generator.get("saturation"):
        assert "Use more cores." in {finding.advice for finding in told}
