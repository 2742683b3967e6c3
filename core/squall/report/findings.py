"""What a run means, in sentences that follow from its figures and from nothing else.

A finding is a rule over the summary; each says what was seen and, where there is something to do, what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.metrics import format as fmt
from squall.report.bottlenecks import bottlenecks
from squall.report.figures import find
from squall.report.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.report.model import GeneratorSummary, LoadSummary, MetricSummary, Summary


def findings(summary: Summary) -> tuple[Finding, ...]:
    """All findings, the most important first."""
    rules = (
        _thresholds,
        _iterations,
        _errors,
        bottlenecks,
        _circuits,
        _dropped,
        _retries,
        _waits,
        _breaking_stage,
        _slowest_step,
        _tail,
        _checks,
        _load,
        _generator,
        _runners,
    )
    return tuple(finding for rule in rules for finding in rule(summary))


def _thresholds(summary: Summary) -> Iterator[Finding]:
    for threshold in summary.thresholds:
        if threshold.state == "failed":
            seen = fmt.quantity(
                threshold.worst if threshold.worst is not None else threshold.value, threshold.unit
            )
            yield Finding(f"{threshold.source} broke `{threshold.expression}`: {seen} was measured.")
        elif threshold.state == "noData" and threshold.no_data == "fail" and summary.metrics:
            yield Finding(
                f"{threshold.source}: `{threshold.expression}` could not be judged: {threshold.message}.",
                advice="Check that it names what the run really does, and long enough, or set `noData: pass`.",
            )


def _iterations(summary: Summary) -> Iterator[Finding]:
    for load in summary.load:
        ended = load.iterations + load.failed
        if load.failed and load.failed >= ended / 20:
            yield Finding(
                f"{load.scenario}: {fmt.number(load.failed)} of {fmt.number(ended)} iterations ended early by a "
                f"failed step, {fmt.share(load.failed / ended)}.",
                "What comes after the step that failed had less load than planned: see the errors.",
            )


def _errors(summary: Summary) -> Iterator[Finding]:
    if not summary.errors:
        return
    worst = summary.errors[0]
    status = f" (status {worst.status})" if worst.status else ""
    example = f" For example: {worst.example}" if worst.example else ""
    yield Finding(
        f"The most frequent failure is {worst.error}{status} at {worst.scenario}/{worst.step}: "
        f"{fmt.number(worst.count)} times.{example}",
        advice=_ERROR_ADVICE.get(worst.error, ""),
    )


_ERROR_ADVICE = {
    "connect_refused": "Nothing listened, or its backlog was full: look at the target's process and listen queue.",
    "connect_timeout": "Connections were not accepted in time: look at firewalls and the target's accept rate.",
    "connect_failed": "This machine or its network allowed no connection: the example says what was missing.",
    "dns": "The target's name could not be resolved from the runners.",
    "tls": "The TLS handshake failed: look at certificates and `http.tls`.",
    "forbidden": "A LoadTestPolicy does not let load go there: look at redirects, and at the policy's `allowedHosts`.",
    "reset": "The target or something before it cut connections: look at its limits and restarts.",
    "closed": "The target closed connections before the answer was complete: look at its limits and restarts.",
    "timeout": "Answers did not come within `timeout`: the target was saturated, or the timeout is too short.",
    "protocol": "What came back was no valid HTTP: look at proxies between the runners and the target.",
    "proxy": "The proxy let requests not through: look at `http.proxy` and at its log.",
    "body_too_large": "Bodies were longer than `http.maxBodySize`: raise it, or read less.",
    "too_many_redirects": "Redirects went on beyond `maxRedirects`: look for a loop.",
    "decode": "Bodies could not be read as what a step expects: `squall try` shows them.",
    "http_5xx": "The target failed: look at its log at that time.",
    "http_4xx": "The target refused: look at credentials, rate limits and what the scenario sends.",
    "rate_limited": "More was asked for than `http.rateLimits` allow: ask for less, or allow more or a longer `timeout`.",
    "circuit_open": "The circuit breaker left the host alone: look at the failures that came before.",
    "encryption": "Something could not be decrypted: another wallet or password than it was encrypted with, or it was changed.",
    "evm_wallet": "Wallets were not filled in time: raise `evm.funding.ahead`, `batch` or `wait`, or fill them before with `squall evm fund`.",
    "evm_reverted": "A contract refused transactions: the example says why, and `squall try` shows one.",
    "evm_event": "Events did not come within `timeout`: look at who should emit them, and at how full blocks are.",
    "evm_arguments": "Values do not fit the contract's ABI, or results do not: `squall try` shows them.",
    "evm_timeout": "The chain or its endpoint was slower than `timeout`: look at how full blocks are, and at `evm.fees`.",
    "evm_insufficient_funds": "Wallets had too little to pay: raise `evm.funding.amount`, or set `refillBelow`.",
    "evm_invalid_transaction": "No node takes such transactions: the example says why; look at their data, gas limit and fees.",
    "evm_unreachable": "No endpoint answered: look at the nodes, and give more than one.",
    "evm_rate_limited": "Endpoints asked for pauses: set their `rate`, or add others.",
    "evm_pool_full": "The mempool was full: send more slowly, `evm.pace` does.",
    "extract": "The response lacked what a step extracts: `squall try` shows it.",
}


def _circuits(summary: Summary) -> Iterator[Finding]:
    seconds = summary.runners * summary.timings.load_seconds
    for host in summary.hosts:
        if host.circuit_opened and seconds:
            share = fmt.share(min(1.0, host.circuit_open_seconds / seconds))
            opened = "once" if host.circuit_opened == 1 else f"{fmt.number(host.circuit_opened)} times"
            yield Finding(
                f"The circuit of {host.host} was open for {share} of the run: it opened {opened}, "
                f"and {fmt.number(host.circuit_rejected)} requests were not sent.",
                "The host failed and was left alone, so it had less load than planned: see the errors.",
            )


def _requests(summary: Summary) -> float:
    rows = [find(summary.metrics, metric) for metric in ("http_reqs", "poll_reqs")]
    return sum(row.values["count"] for row in rows if row)


def _dropped(summary: Summary) -> Iterator[Finding]:
    """Requests that were repeated because nothing had come of them: no failure in any metric, so it is told here."""
    again = sum(row.count for row in summary.retries if row.error == _STALE)
    if not again:
        return
    share = again / (_requests(summary) + again)
    if again > _FEW_DROPPED or share > _SMALL_SHARE:
        yield Finding(
            f"{fmt.number(again)} requests ({fmt.share(share)} of all that were sent) were sent again because the "
            "server had closed the kept connection without an answer: its idle timeout is shorter than the pauses, or "
            "it drops requests. None of them counts in http_req_failed.",
            "With http.keepAlive: false nothing is sent again, and what is dropped is a failure; "
            "a threshold on http_retries{error:stale} bounds it.",
        )


def _retries(summary: Summary) -> Iterator[Finding]:
    retries = [row for row in summary.retries if row.error != _STALE]
    made, denied = sum(row.count for row in retries), sum(row.denied for row in retries)
    requests = _requests(summary)
    if not (made or denied) or not requests:
        return
    most = retries[0]
    status = f" (status {most.status})" if most.status else ""
    text = (
        f"{fmt.share(made / requests)} of the requests were retries, {fmt.number(made)} in all, most of them at "
        f"{most.scenario}/{most.step} after {most.error}{status}."
    )
    if denied:
        text += f" {fmt.number(denied)} more were not made, as the budget was spent."
    yield Finding(text, "What a retry has mended still counts in http_req_failed.")


def _waits(summary: Summary) -> Iterator[Finding]:
    for host in summary.hosts:
        if host.wait_median_seconds and host.wait_p95_seconds is not None:
            yield Finding(
                f"Most requests to {host.host} waited for their turn in its rate limit: half of them for more than "
                f"{fmt.time(host.wait_median_seconds)}, p95 {fmt.time(host.wait_p95_seconds)}.",
                "The load was that of the limit, not that of the scenarios.",
            )


def _stages(summary: Summary, scenario: str, metric: str) -> list[MetricSummary]:
    return [
        row
        for row in summary.metrics
        if row.metric == metric and row.tags.get("scenario") == scenario and "stage" in row.tags
    ]


def _breaking_stage(summary: Summary) -> Iterator[Finding]:
    """The first stage whose failures exceed 5 % while the stage before had fewer.

    The levels of a search go up and down, and its result says what was carried.
    """
    searched = {found.scenario for found in summary.capacity}
    for load in summary.load:
        if load.scenario in searched:
            continue
        rows = _stages(summary, load.scenario, "http_req_failed")
        for before, row in zip([None, *rows], rows, strict=False):
            rate = row.values["rate"]
            if rate > 0.05 and (before is None or before.values["rate"] <= 0.05):
                yield Finding(
                    f"{load.scenario} began to break in stage {row.tags['stage']}: "
                    f"{fmt.share(rate)} of its requests failed"
                    + (f", {fmt.share(before.values['rate'])} in the stage before." if before else "."),
                    advice="The load of the stage before is what the target carried." if before else "",
                )
                break


def _slowest_step(summary: Summary) -> Iterator[Finding]:
    rows = [row for row in summary.metrics if row.metric == "http_req_total" and "step" in row.tags]
    if len(rows) < 2:
        return
    slowest = max(rows, key=lambda row: row.values["p95"])
    yield Finding(
        f"The slowest step is {slowest.tags['scenario']}/{slowest.tags['step']}: "
        f"p95 {fmt.time(slowest.values['p95'])}, p99 {fmt.time(slowest.values['p99'])}."
    )


def _tail(summary: Summary) -> Iterator[Finding]:
    row, failed = find(summary.metrics, "http_req_total"), find(summary.metrics, "http_req_failed")
    if failed and failed.values["rate"] > 0.5:
        return  # how long failures take says little
    if row and row.values["count"] >= 1000 and row.values["p99"] > 10 * row.values["med"] > 0:
        yield Finding(
            f"The slowest 1 % of requests took more than {fmt.time(row.values['p99'])} in total (http_req_total), "
            f"{row.values['p99'] / row.values['med']:.0f} times the median of {fmt.time(row.values['med'])}.",
            advice="A long tail points to queueing, garbage collection or a few slow paths, not to a slow target.",
        )


def _checks(summary: Summary) -> Iterator[Finding]:
    failed = sorted((check for check in summary.checks if check.fails), key=lambda check: -check.fails)
    decide = any(state.source.partition("{")[0] == "checks" for state in summary.thresholds)
    advice = "`squall try` shows what it looks at."
    advice += "" if decide else " No threshold is on `checks`, so a failed one decides nothing."
    for check in failed[:5]:
        share = fmt.share(check.fails / (check.fails + check.passes))
        yield Finding(
            f'Check "{check.name}" of {check.scenario}/{check.step} failed in {share} of its cases.',
            advice=advice if check is failed[0] else "",
        )


def _load(summary: Summary) -> Iterator[Finding]:
    for load in summary.load:
        if load.dropped:
            yield Finding(
                f"{load.scenario} dropped {fmt.number(load.dropped)} of its iterations: no VU was free in time.",
                advice="The target was too slow for the wanted rate, or `maxVUs` is too low for it.",
            )
        elif _short(load):
            yield Finding(
                f"{load.scenario} carried out {fmt.number(load.iterations + load.failed)} of "
                f"{fmt.number(load.planned or 0)} planned iterations.",
            )


def _short(load: LoadSummary) -> bool:
    return load.planned is not None and load.iterations + load.failed + load.interrupted < load.planned


def _generator(summary: Summary) -> Iterator[Finding]:
    generator = summary.generator
    if generator.saturated_share > 0:
        seen, _, advice = generator.saturation.partition("; ")
        yield Finding(
            f"{seen[:1].upper()}{seen[1:]}."
            if seen
            else f"The generator was too busy in {fmt.share(generator.saturated_share)} of the run.",
            advice=f"{advice[:1].upper()}{advice[1:]}." if advice else "",
        )
    yield from _cpu(generator)
    yield from _room(generator)
    if generator.series_dropped:
        yield Finding(
            f"{fmt.number(generator.series_dropped)} values were counted without some of their tags.",
            advice="Too many different tag values: take identifiers out of `tags`.",
        )


_STALE = "stale"
_FEW_DROPPED = 10
_SMALL_SHARE = 0.01
_THROTTLED_SECONDS = 1.0
_WAITED_SECONDS = 5.0
_NEARLY_ALL = 0.9
"""Of the files or ports that there are: from here on a little more load would not fit."""


def _cpu(generator: GeneratorSummary) -> Iterator[Finding]:
    if generator.cpu_throttled_seconds >= _THROTTLED_SECONDS:
        yield Finding(
            f"The runners were throttled by their CPU limit for {fmt.time(generator.cpu_throttled_seconds)} in all.",
            advice="Give each runner one whole core: times measured while it stood still are longer than the target's.",
        )
    if generator.cpu_wait_seconds >= _WAITED_SECONDS:
        yield Finding(
            f"The runners were ready to run and waited {fmt.time(generator.cpu_wait_seconds)} in all for a core.",
            advice="Something else uses the same cores: measured times contain that wait.",
        )
    if generator.send_stall_seconds >= 1.0:
        yield Finding(
            f"Connections could send nothing for {fmt.time(generator.send_stall_seconds)} in all: "
            "the target, or the network to it, did not take it as fast.",
        )


def _room(generator: GeneratorSummary) -> Iterator[Finding]:
    if (generator.files_used_peak or 0.0) >= _NEARLY_ALL:
        yield Finding(
            f"A runner had {fmt.share(generator.files_used_peak or 0.0)} of the files open that it may have.",
            advice="Raise its limit (`ulimit -n`) or use more runners before more load is asked for.",
        )
    if (generator.ports_used_peak or 0.0) >= _NEARLY_ALL:
        yield Finding(
            f"Up to {fmt.share(generator.ports_used_peak or 0.0)} of the local ports for one destination were taken.",
            advice="Keep connections open, share them (`http.sharedConnections`), or spread the load over more addresses.",
        )
    if generator.clock_steps:
        yield Finding(
            "The clock of a runner's machine was set during the run: cookies and tokens may have expired early or late.",
            advice="Measured times are not affected.",
        )


def _runners(summary: Summary) -> Iterator[Finding]:
    if summary.lost_runners:
        listed = ", ".join(f"runner {index}" for index in summary.lost_runners)
        yield Finding(f"Lost on the way: {listed}. What was delivered until then is counted.")
