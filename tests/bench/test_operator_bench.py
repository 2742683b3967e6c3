"""What the bench of operator and hub reads has to be read right, and what its simulated runners say has to make sense to a hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import results
from harness.costs import Costs
from harness.results import Number, keep, kept
from harness.runjournal import RunJournal
from support.cluster.audit import Audit
from support.processes import Process
from support.simulated import REQUESTS, snapshot

from squall.metrics.series import Counter, Rate, Selector
from squall.metrics.slots import SlotStore


def test_the_journal_of_a_run_is_followed_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = RunJournal(path)
    assert journal.look().start == 0
    records = [{"kind": "starting", "at": 9 * 10**9}, {"kind": "start", "at": 10 * 10**9}]
    path.write_text("".join(json.dumps(each) + "\n" for each in records) + '{"kind": "jud')
    assert (journal.look().ready, journal.start, journal.lags) == (9, 10, {})
    with path.open("a", encoding="utf-8") as file:
        file.write('ged", "slot": 0}\n{"kind": "stop", "why": {"slot": 4}}\n')
    assert list(journal.look().lags) == [0]
    assert journal.breach == 15


def test_a_run_that_nobody_stopped_for_a_slot_has_no_breach(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"kind": "stop", "why": {"slot": -1}}\n')
    assert RunJournal(path).look().breach == 0


def test_calls_are_counted_once_and_watches_with_their_lists_and_leases_are_not(tmp_path: Path) -> None:
    def event(number: int, verb: str, resource: str, uri: str = "/", **more: object) -> str:
        about = {"objectRef": {"resource": resource, **more}, "requestURI": uri}
        return json.dumps(
            {
                "auditID": str(number),
                "verb": verb,
                "requestReceivedTimestamp": f"2026-01-01T00:00:0{number}Z",
                **about,
            }
        )

    audit = Audit(tmp_path, "somebody")
    assert audit.counts() == {}
    lines = [
        event(1, "create", "jobs"),
        event(2, "watch", "pods"),
        event(2, "watch", "pods"),
        event(3, "update", "leases"),
        event(5, "list", "pods", "/api/v1/pods?limit=500&labelSelector=squall.dev%2Frun"),
        event(6, "list", "loadtests", "/apis/squall.dev/v1alpha1/loadtests"),
        event(4, "patch", "loadtests", subresource="status", name="a"),
        event(4, "patch", "loadtests", subresource="status", name="a"),
    ]
    (tmp_path / "audit.jsonl").write_text("\n".join(lines) + "\n")
    assert audit.counts() == {"create jobs": 1, "patch loadtests/status": 1, "list loadtests": 1}
    last = next(call for call in audit.calls() if call.name == "a")
    assert audit.counts(since=last.at) == {"patch loadtests/status": 1, "list loadtests": 1}
    assert audit.counts(until=last.at) == {"create jobs": 1}


def test_what_simulated_runners_say_is_understood() -> None:
    store = SlotStore()
    for slot in range(6):
        for runner in range(3):
            store.add(snapshot(runner, slot, fails_from=4))
    assert len(store.series()) == 20
    assert store.refused == 0
    assert store.total(Selector("http_reqs")) == Counter(3 * 6 * REQUESTS)
    assert store.window(Selector("http_req_failed"), 4, 5) == Rate(6 * REQUESTS, 6 * REQUESTS)
    assert store.window(Selector("http_req_failed"), 0, 3) == Rate(0, 12 * REQUESTS)


def test_a_process_that_works_has_costs(tmp_path: Path) -> None:
    process = Process(["python3", "-c", "while True: pass"], log=tmp_path / "log")
    try:
        costs = Costs(process.pid)
        # Until it has become Python, it is what the kernel makes of a program's first page.
        process.wait_until(lambda: costs.cores() > 0.01 and costs.peak_megabytes() > 1, timeout=30)
        assert costs.peak_megabytes() < 100
        assert costs.waited() >= 0
    finally:
        process.stop()


def test_parts_that_were_measured_before_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "OUT", tmp_path)
    assert kept("operator") == []
    numbers = [Number("a", 1.0, "s", "<= 2", holds=True)]
    assert keep("operator", numbers) == 0
    assert kept("operator") == numbers
