"""The catalogue of what is logged: each event, who logs it, and which fields it has.

Whoever collects logs writes queries and alerts by these names, so they are kept here, and `docs/reference/logs.md` is written from them.
Beside these the log of a run has lines whose event is the reason of a verdict, such as `Threshold`: `docs/verdict.md` tells them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COMMON: Final = {
    "timestamp": "when the line was made: UTC, microseconds",
    "level": "`debug`, `info`, `warning` or `error`",
    "event": "what has happened",
    "process": "`runner`, `hub` or `operator`",
    "loadtest": "name of the LoadTest; not of lines that concern a process as a whole",
    "namespace": "its namespace, on a cluster",
    "run": "the run's id",
    "runner": "index of the runner process within the run",
    "logger": "of lines that a library has logged: which one; `event` holds its words then",
}
"""Fields that lines of all events have, as far as they make sense for them."""

REQUEST: Final = "request"
ACTION: Final = "action"
CHAIN_JOURNAL: Final = "ChainJournal"
FLOW_START: Final = "flow_start"
FLOW_COMPLETE: Final = "flow_complete"
LINES_LEFT_OUT: Final = "log_lines_left_out"
LINES_LOST: Final = "log_lines_lost"
LOG_LOST: Final = "LogLost"
RUNNER_READY: Final = "RunnerReady"
RUNNER_STARTED: Final = "RunnerStarted"
RUNNER_STOPS: Final = "RunnerStops"
RUNNER_FINISHED: Final = "RunnerFinished"
RUNNER_FAILED: Final = "RunnerFailed"
RUNNER_LEAVES: Final = "RunnerLeaves"
PROCESS_ENDED: Final = "ProcessEnded"
NO_ASSIGNMENT: Final = "NoAssignment"
POD_INCOMPLETE: Final = "PodIncomplete"
MANIFEST_INVALID: Final = "ManifestInvalid"
NO_LOG: Final = "NoLog"
CERTIFICATE: Final = "Certificate"
JOURNAL_UNUSABLE: Final = "JournalUnusable"
OPERATOR_STARTED: Final = "started"
LEADER: Final = "leader"
NOT_LEADER: Final = "not_leader"
WAITING: Final = "waiting"
RIGHTS_MISSING: Final = "rights_missing"
ROUND_FAILED: Final = "round_failed"
WORK_FAILED: Final = "work_failed"
REVIEW_FAILED: Final = "review_failed"

_ITERATION: Final = ("shard", "scenario", "stage", "vu", "iteration")
_WALLET: Final = "wallet"
"""Lines of iterations that act on a chain tell besides with which wallet: its address."""
_TIMES: Final = ("total", "duration", "blocked", "connecting", "sending", "waiting", "receiving")


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line.

    Attributes:
        name: The value of `event`.
        meaning: What has happened.
        fields: What it has beside `COMMON`.
        more: Names of further fields begin with this; empty when there are none.
    """

    name: str
    meaning: str
    fields: tuple[str, ...] = ("message",)
    more: str = ""


ITERATIONS: Final = (
    Event(FLOW_START, "an iteration of the sample begins", _ITERATION, more=_WALLET),
    Event(
        REQUEST,
        "a request has ended; level `warning` when it failed. `total` is the whole call, `duration` sending, waiting and receiving",
        (
            *_ITERATION,
            *("step", "method", "url", "status", "error"),
            *_TIMES,
            *("sent", "received", "size", "redirects", "reused"),
        ),
        more=_WALLET,
    ),
    Event(
        ACTION,
        "a step has done something on a chain; level `warning` when that failed",
        (*_ITERATION, *("step", "action", "duration", "error", "hash", "block", "method")),
        more=_WALLET,
    ),
    Event(
        FLOW_COMPLETE,
        "an iteration has ended, its `outcome` is `completed`, `failed` or `interrupted`; level `warning` when it failed",
        (
            *_ITERATION,
            *("outcome", "duration", "failed_step", "error", "failed_steps", "failed_checks"),
        ),
        more=_WALLET,
    ),
    Event(LINES_LEFT_OUT, "more was due in a second than `maxPerSecond` allows", ("lines", "max_per_second")),
)
"""What `outputs.logs.iterations` asks for."""

RUNNER: Final = (
    Event(RUNNER_READY, "everything is compiled, the target is there", ("shards",)),
    Event(RUNNER_STARTED, "the load begins", ()),
    Event(RUNNER_STOPS, "it was told to stop the load", ("reason",)),
    Event(RUNNER_FINISHED, "the load has ended", ()),
    Event(RUNNER_FAILED, "the load could not be prepared, or broke down", ("reason", "message")),
    Event(RUNNER_LEAVES, "the process ends before it was told to, or nobody is in control any more"),
    Event(PROCESS_ENDED, "a process of a pod with several has ended badly", ("message", "runner", "code")),
    Event(NO_ASSIGNMENT, "it was not given what it needs"),
    Event(POD_INCOMPLETE, "something is missing in the pod, or damaged", ("message", "hint")),
    Event(MANIFEST_INVALID, "it was given a manifest that is none"),
    Event(NO_LOG, "its log cannot be written"),
)
"""What only a runner's own log holds."""

RUN: Final = (
    Event("Ready", "all runners are ready"),
    Event("Started", "the load begins"),
    Event("Level", "a search for capacity goes to another level"),
    Event(
        "step_failed",
        "the first failure of its kind on this runner",
        ("error", "scenario", "step", "message", "hint"),
    ),
    Event("check_failed", "a check of setup or teardown did not hold", ("scenario", "step", "message")),
    Event("setup_request", "a request of setup", ("step", "method", "url", "status", "error", "duration")),
    Event(
        "teardown_request", "a request of teardown", ("step", "method", "url", "status", "error", "duration")
    ),
    Event("setup_action", "an action of setup on the chain", ("step", "action", "error", "duration", "hash")),
    Event(
        "teardown_action",
        "an action of teardown on the chain",
        ("step", "action", "error", "duration", "hash"),
    ),
    Event(
        CHAIN_JOURNAL,
        "money is about to go into wallets: what has to be known to get it back",
        ("chain_id", "shards", "count", "first_wallet", "funders"),
    ),
    Event("ChainJournalLost", "the file that says how to get it back could not be written"),
    Event("EndpointChanged", "an endpoint of the chain is left out, or is asked again"),
    Event(
        "GasTooDear", "the base fee is above spec.evm.fees.limit; what is to be sent waits until it is lower"
    ),
    Event("FundersPaid", "the funders have paid the shards' own", ("shards", "amount", "spent")),
    Event("NoMulticall", "wallets are filled one by one, as the chain has no contract for batches"),
    Event("FundingHeldUp", "wallets could not be filled just now; it is tried again"),
    Event("FundingEnded", "wallets are not filled any more; a defect, worth a report"),
    Event("FunderOutOfMoney", "an account that fills wallets has too little", ("message", "address")),
    Event("FunderHasMoney", "it has enough again", ("address",)),
    Event(
        "Swept",
        "what was left went back to the funders",
        ("message", "accounts", "returned", "spent", "left"),
    ),
    Event("SweepFailed", "what is left did not go back", ("message", "hint")),
    Event("python_log", "`vu.log` of a Python step", ("scenario", "step", "message"), more="user_"),
    Event("ThresholdFailed", "a threshold is broken, and the run goes on"),
    Event("DataExhausted", "rows of data were used up", ("message", "scenario", "data", "rows")),
    Event("CircuitOpened", "a host is sent nothing for a while", ("message", "host")),
    Event("CircuitClosed", "it answers again", ("message", "host")),
    Event("TargetDown", "a base URL gets no load, as it does not answer", ("message", "host")),
    Event("TargetUp", "it answers again", ("message", "host")),
    Event("TokenNotRenewed", "an OAuth2 token could not be renewed", ("message", "hint")),
    Event(
        "TooFewFiles", "the process may not have as many open files as the load may need", ("message", "hint")
    ),
    Event("TooFewPorts", "the machine may run out of local ports", ("message", "hint")),
    Event("ClockStepped", "the machine's clock was set during the run", ("message", "hint")),
    Event("TagsDropped", "there were more series than are kept: values have lost tags of the manifest"),
    Event("StepsDidNotStop", "a user's function has ignored that the run has ended"),
    Event("RunnerBack", "a runner has connected again"),
    Event("TooManyAttempts", "a runner was begun again more often than can be counted"),
    Event("LogFull", "a runner has written as many lines into the log of its run as it may"),
    Event("TeardownSkipped", "teardown did not run"),
    Event("TeardownDeadline", "teardown took too long"),
    Event("TeardownFailed", "a step of teardown failed"),
    Event("NoPrometheus", "thresholds with a query cannot be judged: nobody can be asked"),
    Event("QueryFailed", "Prometheus did not answer a query"),
    Event("JournalLost", "the hub's journal cannot be written: another hub could not take the run up"),
    Event("SeriesLost", "the file of series is not complete"),
    Event("HistoryLost", "how thresholds stood before the hub began again is not known"),
    Event("RemoteWriteImpossible", "metrics cannot be pushed"),
    Event("RemoteWriteFails", "metrics do not reach the receiver, and wait"),
    Event("RemoteWriteWorks", "they reach it again"),
    Event("RemoteWriteRefused", "the receiver does not take some of what is pushed"),
    Event("RemoteWriteFolds", "more series than `maxSeries`: some have lost labels"),
    Event("RemoteWriteDrops", "the buffer is full: the oldest metrics are dropped"),
    Event("RemoteWriteLost", "metrics that were never pushed, at the end"),
    Event("RemoteWriteDefect", "metrics are not pushed, as Squall has a defect"),
    Event(LOG_LOST, "a runner's log is not complete"),
)
"""What belongs to the log of a run: `log.jsonl` on one machine, the hub's log on a cluster. What a runner noted stands in its own log too."""

SERVICES: Final = (
    Event(CERTIFICATE, "the certificate of hub or webhook was renewed, or the new one cannot be used"),
    Event(JOURNAL_UNUSABLE, "a hub cannot take up a run"),
    Event(OPERATOR_STARTED, "an operator has begun to work", ("version", "identity", "pid")),
    Event(LEADER, "it is the one that acts", ()),
    Event(NOT_LEADER, "another one acts", ()),
    Event(WAITING, "something is missing without which it has nothing to do", ("problem",)),
    Event(RIGHTS_MISSING, "it may not do all that it has to do; what is missing, and for what", ("problem",)),
    Event(ROUND_FAILED, "a LoadTest could not be looked after just now; it is tried again", ("error",)),
    Event(WORK_FAILED, "all of its work was broken off, and begins again", ("error",)),
    Event(REVIEW_FAILED, "the webhook has a defect, and could not judge something", ("error",)),
)
"""What hub and operator log of themselves."""

EVERYWHERE: Final = (
    Event(
        LINES_LOST,
        "whoever takes the lines is too slow, or the disk is full: so many are missing",
        ("lines",),
    ),
)

CATALOGUE: Final = {
    event.name: event for group in (ITERATIONS, RUNNER, RUN, SERVICES, EVERYWHERE) for event in group
}
