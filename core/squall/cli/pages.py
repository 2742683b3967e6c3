"""The reference pages that are written from the code: functions of expressions, metrics, and events of logs.

A function that is missing in a page kept by hand is one that nobody uses. So names, usage, limits and meaning come from the
catalogues that the product itself works with; only what no catalogue holds, such as what a name means, stands here, and each
table refuses to be written when it lacks an entry or has one too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from squall.export.names import families_of
from squall.export.run import FAMILIES, RESULTS, STATES
from squall.expr import BASE_NAMES, RESPONSE_NAMES, catalogue
from squall.expr.functions.texts import MAX_MATCH_INPUT
from squall.expr.limits import MAX_BITS, MAX_TEXT, MAX_WEIGHT
from squall.expr.regex import MAX_PATTERN
from squall.expr.source import MAX_DEPTH, MAX_SOURCE
from squall.logs import events as logged
from squall.metrics.names import BUILT_IN, Kind, Merge, prometheus_name, prometheus_rate_total
from squall.report.model import Phase, RunnerPhase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from squall.expr import FunctionDoc
    from squall.metrics.names import Metric

_GENERATED: Final = "Generated from the code; do not edit."

_NAMES: Final = {
    "vu": "number of the virtual user, from 1; unique over all scenarios and shards",
    "iter": "number of the iteration, from 0; counted by each VU for itself",
    "shard": "number of the shard, from 0",
    "scenario": "name of the scenario",
    "run": "`run.id`, the run's id; `run.name`, the LoadTest's name",
    "var": "`var.x`, the variable `x` of `spec.variables`",
    "data": "`data.users.email`, the column `email` of the row that this iteration has of the data `users`",
}
_RESPONSE: Final = {
    "status": "status code; 0 when no response arrived",
    "body": "the body, parsed as JSON",
    "text": "the body as text",
    "headers": "header fields by name, in any case: `headers['content-type']`",
    "duration": "seconds of sending, waiting and receiving; of a `poll`, those of its last request",
    "error": "class of the failure, such as `timeout`; empty when a response arrived",
    "cookies": "cookies that the response sets, by name",
    "size": "bytes of the body",
}


def expressions_page() -> str:
    """The page on expressions, in Markdown."""
    plain = [known for known in catalogue() if "." not in known.name]
    lines = [
        "# Expressions",
        "",
        _GENERATED,
        "",
        "Texts of a manifest may hold expressions in `${...}`; checks, `condition`, `until`, `failWhen`, `while` and",
        "`record.value` are expressions by themselves, without `${}`. [Scenarios](../scenarios.md#expressions) shows where.",
        "",
        "## Names",
        "",
        *_table(("name", "meaning"), _named(_NAMES, BASE_NAMES)),
        "",
        "Besides, every name that an earlier step extracted, set or returned, and everything that setup has extracted.",
        "Setup and teardown have no rows of data; there `vu` and `iter` are 0.",
        "",
        "Where there is a response - in `checks`, `until`, `failWhen` and the `record.value` of `http` and `poll` - also:",
        "",
        *_table(("name", "meaning"), _named(_RESPONSE, RESPONSE_NAMES)),
        "",
        *_GRAMMAR,
        "## Functions",
        "",
        *_functions(plain),
        "### random",
        "",
        "Drawn from a generator that each VU has for itself.",
        "",
        *_functions([known for known in catalogue() if known.name.startswith("random.")]),
        "### fake",
        "",
        "Invented people, places and texts, from Faker, drawn from the same generator.",
        "",
        *_functions([known for known in catalogue() if known.name.startswith("fake.")]),
        "## Limits",
        "",
        *_table(("what", "at most"), _LIMITS),
        "",
        "What goes beyond is an error of the expression, not a slow generator. Regular expressions whose repeated parts can",
        "match the same text in more than one way are refused, since searching with them may take exponential time.",
    ]
    return "\n".join(lines) + "\n"


_GRAMMAR: Final = (
    "## Grammar",
    "",
    "Expressions are a part of Python's, evaluated without Python's builtins:",
    "",
    *(
        f"- {line}"
        for line in (
            "numbers, quoted texts, lists `[1, 2]`, mappings `{'a': 1}`, `true`, `false`, `null`",
            "numbers with units: times become seconds (`500ms`, `1m30s`; `ns us ms s m h d`), `50%` becomes 0.5",
            "sizes, which become bytes (`10KiB`, `1MB`; `B KB kB MB GB KiB MiB GiB`)",
            "`+ - * / // % **`, `<< >> & | ^`, and `+` joins texts and lists, `*` repeats a text",
            "`== != < <= > >=`, also chained as in `200 <= status < 300`; `in`, `not in`",
            "`and`, `or`, `not`, `a if condition else b`",
            "`a.b` and `a['b']`, which both look up a key; `a[0]`, `a[-1]`, `a[1:3]` of lists and texts",
            "calls of the functions below, by position or by name: `random.string(8, characters='abc')`",
        )
    ),
    "",
    "Not part of it: methods (`lower(x)`, not `x.lower()`), `is`, comprehensions, f-strings, functions of one's own. What counts",
    "as true in Python counts as true. After a number a `%` means percent, unless there is a space before it: `10 % 3`.",
    "",
    "In a text, `${...}` becomes the value's text, as JSON writes it when it is no text; in `json`, `set` and `args` a text that is",
    "exactly one `${...}` keeps the value's type. `$${` stands for the two characters `${`.",
    "",
)

_LIMITS: Final = (
    ("length of an expression", f"{MAX_SOURCE:,} characters"),
    ("nesting of brackets", f"{MAX_DEPTH} levels"),
    ("a text that an expression builds", f"{MAX_TEXT:,} characters"),
    ("a list or mapping that an expression builds, written out", f"{MAX_WEIGHT:,} characters"),
    ("a whole number", f"{MAX_BITS:,} bits"),
    ("a regular expression", f"{MAX_PATTERN:,} characters"),
    ("the text that `matches` searches", f"{MAX_MATCH_INPUT:,} characters"),
)


def _functions(known: Iterable[FunctionDoc]) -> list[str]:
    rows = [(f"`{each.usage}`", each.doc) for each in known]
    return [*_table(("function", "value"), rows), ""]


def _named(meanings: Mapping[str, str], names: Iterable[str]) -> list[tuple[str, str]]:
    if set(meanings) != set(names):
        raise ValueError(f"names without a meaning, or meanings without a name: {set(meanings) ^ set(names)}")
    return [(f"`{name}`", meaning) for name, meaning in meanings.items()]


# -- metrics ------------------------------------------------------------------------------------------------------

_STEP: Final = "scenario, stage, step"
_REQUEST: Final = f"{_STEP}, method, status, error"
_ITERATION: Final = "scenario, stage"
_HOST: Final = "host"
_ENDPOINT: Final = "endpoint"
_RPC: Final = "endpoint, rpc_method"
_TAGS: Final = {
    "http_req_errors": _REQUEST,
    "http_retries": _REQUEST,
    "http_retries_denied": _REQUEST,
    "auth_tokens": "error",
    "rate_limit_wait": _HOST,
    "target_up": _HOST,
    "circuit_state": _HOST,
    "circuit_opened": _HOST,
    "circuit_rejected": _HOST,
    "circuit_open_time": _HOST,
    "poll_reqs": _REQUEST,
    "data_sent": _REQUEST,
    "data_received": _REQUEST,
    "checks": f"{_STEP}, check",
    "step_failures": f"{_STEP}, error",
    "group_duration": _STEP,
    "component_duration": _STEP,
    "component_failed": _STEP,
    "job_latency": _STEP,
    "poll_count": _STEP,
    "job_failed": _STEP,
    "iteration_duration": _ITERATION,
    "schedule_lag": _ITERATION,
    "arrivals_late": _ITERATION,
    "arrivals_planned": "scenario",
    "dropped_iterations": "scenario",
    "evm_rpc_reqs": f"{_RPC}, error",
    "evm_rpc_duration": f"{_RPC}, error",
    "evm_rpc_failed": f"{_RPC}, error",
    "evm_rpc_errors": f"{_RPC}, error",
    "evm_endpoint_up": _ENDPOINT,
    "evm_head_lag": _ENDPOINT,
    "evm_tx_errors": f"{_STEP}, error",
    **dict.fromkeys(
        (
            "evm_txs",
            "evm_tx_failed",
            "evm_tx_accept_duration",
            "evm_tx_inclusion_duration",
            "evm_tx_block_delay",
            "evm_tx_confirmation_duration",
            "evm_gas_used",
            "evm_gas_used_per_tx",
            "evm_fees",
            "evm_tx_replaced",
            "evm_nonce_gaps",
            "evm_event_delay",
        ),
        _STEP,
    ),
    "evm_wallet_wait": "scenario",
    "capacity": "scenario",
    "vus": "scenario",
    "vus_max": "scenario",
}
"""The tags of metrics that are neither requests' nor iterations' nor a runner's own."""
_MERGED: Final = {
    Merge.SUM: "sum of the runners",
    Merge.MAX: "largest of the runners",
    Merge.LAST: "the latest value",
}


def metrics_page() -> str:
    """The page on metrics, in Markdown."""
    if unknown := set(_TAGS) - set(BUILT_IN):
        raise ValueError(f"tags of metrics that do not exist: {unknown}")
    columns = ("metric", "kind", "unit", "meaning", "tags", "in Prometheus")
    rows = [_metric(metric) for metric in BUILT_IN.values()]
    lines = [
        "# Metrics",
        "",
        _GENERATED,
        "",
        *_METRICS_INTRO,
        "",
        *_table(columns, rows),
        "",
        *_METRICS_NOTES,
    ]
    return "\n".join(lines) + "\n"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


_METRICS_INTRO: Final = (
    "Every metric that a run measures, beside those that its steps `record`. Thresholds name them as in the first column;",
    "[Verdict](../verdict.md) says how. Names and meaning are k6's where k6 has the metric.",
)
_METRICS_NOTES: Final = (
    "A trend is a histogram with an error of at most 0.55 %, merged over all runners before anything is read from it. A rate is the",
    "share of its samples that are true. A gauge of several runners is merged as its row says.",
    "",
    "Tags without a value are left out: `status` where no response arrived, `error` where nothing failed, `stage` of a",
    "scenario without stages. To these come the tags of scenario and step (`tags:`) of the manifest. A runner",
    "keeps at most 2,000 sets of tags. What comes beyond loses tags of the manifest, those with many values first, and is counted in",
    "`series_dropped`.",
    "",
    "Metrics that a step records are trends in seconds when they take the step's duration, and plain numbers when they take a `value`;",
    "their tags are scenario, stage (not of gauges) and step. The last column is the metric's name in [Prometheus](prometheus.md).",
)


def _metric(metric: Metric) -> tuple[str, ...]:
    kind = metric.kind.value
    if metric.kind is Kind.GAUGE:
        kind += f" ({_MERGED[metric.merge]})"
    exported = f"`{prometheus_name(metric)}`"
    if metric.kind is Kind.RATE:
        exported += f", `{prometheus_rate_total(metric)}`"
    unit = "share" if metric.kind is Kind.RATE else metric.unit.value
    return (f"`{metric.name}`", kind, unit, metric.description, _tags_of(metric.name), exported)


# -- Prometheus ---------------------------------------------------------------------------------------------------


def prometheus_page() -> str:
    """The page on the series in Prometheus, in Markdown."""
    columns = ("series", "type", "meaning", "labels")
    measured = [
        (f"`{family.name}`", family.kind, family.help, _tags_of(metric.name))
        for metric in BUILT_IN.values()
        for family in families_of(metric)
    ]
    own = [(f"`{each.name}`", each.kind, each.help, ", ".join(each.labels)) for each in FAMILIES]
    lines = [
        "# Series in Prometheus",
        "",
        _GENERATED,
        "",
        *_PROMETHEUS_INTRO,
        "",
        "## What is measured",
        "",
        *_table(columns, measured),
        "",
        *_PROMETHEUS_NOTES,
        "",
        "## The run itself",
        "",
        *_table(columns, own),
        "",
        *_PROMETHEUS_STATES,
    ]
    return "\n".join(lines) + "\n"


_PROMETHEUS_INTRO: Final = (
    "Every series that is pushed by remote write; [Prometheus](../prometheus.md) tells how. All of them have `loadtest`, `run` and, where",
    "there is one, `namespace`, beside the labels below and those that `labels` adds.",
)
_PROMETHEUS_NOTES: Final = (
    "Labels without a value are not there. To these come the tags of scenario and step (`tags:`) of the manifest; one that is called like a",
    "label of all series, or `le`, begins with `exported_`. What comes beyond `maxSeries` has no labels but scenario and error, and",
    '`overflow="true"`. With `perShard`, each runner pushes the same series as `squall_shard_...`, with the label `shard`: the numbers of',
    "the shards that it carries, such as `0` or `0,4`. Classic histograms are three series, `..._bucket`, `..._sum` and `..._count`.",
    "",
    "What a step records becomes `squall_NAME_seconds` (a trend of durations), `squall_NAME` (a trend or gauge), `squall_NAME_total` (a",
    "counter), or `squall_NAME_total` and `squall_NAME_samples_total` (a rate). Where such a name is taken, it ends with `_`.",
)
_PROMETHEUS_STATES: Final = (
    f"`phase` of `squall_run_phase` is {_listed(get_args(Phase))}; of `squall_run_runners`",
    f"{_listed(get_args(RunnerPhase))}.",
    f"`state` is {_listed(STATES)}, and `result` {_listed(RESULTS)}.",
    "",
    "`squall_remote_write_...` is about the pushing itself, of the hub or, with the label `shard`, of a runner.",
)


def logs_page() -> str:
    """The page on events of logs, in Markdown."""
    groups = (
        ("Iterations and requests", "What `outputs.logs.iterations` asks for.", logged.ITERATIONS),
        ("Runners", "In the log of a runner pod.", logged.RUNNER),
        (
            "Runs",
            "In `log.jsonl`, or on a cluster in the hub's log; what a runner noted also in its own. Beside these there are lines whose event is the reason of a [verdict](../verdict.md).",
            logged.RUN,
        ),
        ("Hub and operator", "What they log of themselves.", logged.SERVICES),
        ("Everywhere", "", logged.EVERYWHERE),
    )
    lines = [
        "# Events of logs",
        "",
        _GENERATED,
        "",
        "Each line is a JSON object. [Logs](../logs.md) tells where they are and what may be chosen. Durations are seconds, sizes bytes.",
        "",
        "## Fields of all lines",
        "",
        *_table(("field", "meaning"), ((f"`{name}`", meaning) for name, meaning in logged.COMMON.items())),
        "",
    ]
    for title, text, events in groups:
        lines += [f"## {title}", "", *([text, ""] if text else [])]
        lines += [*_table(("event", "fields", "meaning"), map(_event, events)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _event(event: logged.Event) -> tuple[str, ...]:
    fields = [f"`{field}`" for field in event.fields]
    fields += [f"`{event.more}...`"] if event.more else []
    return (f"`{event.name}`", ", ".join(fields), event.meaning)


def _tags_of(name: str) -> str:
    if name in _TAGS:
        return _TAGS[name]
    if name.startswith("http_req"):
        return _REQUEST
    return _ITERATION if name.startswith("iterations") else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
