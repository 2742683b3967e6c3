"""The scenario language: what one iteration of a scenario does, step by step.

A step has exactly one kind (`http`, `think`, `group`, ...) beside fields that every kind shares. Adding a
kind is adding one model here and one module in the runner's `steps`.

Annotations are evaluated at once here (no `from __future__ import annotations`): steps contain steps, and a whole
annotation that is a text would hide its alias until pydantic has resolved it.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from squall.spec.base import (
    Duration,
    Expression,
    Identifier,
    Label,
    Model,
    Name,
    Nullable,
    PositiveInt,
    Rule,
    Text,
    one_of,
)
from squall.spec.evmsteps import Decrypt, Encrypt, EvmStep, Generate
from squall.spec.http import Backoff, Http, JsonValue
from squall.spec.language import MAX_TIMES, STEP_KINDS

Checks = Annotated[dict[Label, Expression], Field(min_length=1, max_length=64)]
Tags = Annotated[dict[Identifier, Text], Field(max_length=16)]


def _neither(*keys: str) -> dict[str, Any]:
    """The condition in JSON schema that none of the keys is given."""
    return {"not": {"anyOf": [{"required": [key]} for key in keys]}}


NestedSteps = Annotated[list["Step"], Field(min_length=1, max_length=128)]


class Poll(Model):
    """Asks again until a job is done.

    One job-latency metric and a poll count; the polls themselves stay out of the request histogram.
    """

    http: Http
    until: Expression
    """Done when this holds for the response."""
    fail_when: Expression | None = None
    """The job has failed when this holds."""
    interval: Duration = "1s"
    """Pause before the next poll, 10ms at least; a `Retry-After` of the server that is longer is respected."""
    backoff: Backoff | None = None
    deadline: Duration = "5m"
    """Failed when it has taken this long in all."""


class Think(Model):
    """A pause, as a person would make: fixed, uniform between two bounds, or exponential around a mean."""

    rules = (
        Rule(
            "[has(self.duration), has(self.min) || has(self.max), has(self.mean)].filter(given, given).size() == 1",
            "needs either duration, or min and max, or mean",
            lambda _, given: ("duration" in given) + bool(given & {"min", "max"}) + ("mean" in given) == 1,
            {"oneOf": [{"required": ["duration"]}, {"required": ["min", "max"]}, {"required": ["mean"]}]},
        ),
        Rule(
            "has(self.min) == has(self.max)",
            "min and max come together",
            lambda _, given: ("min" in given) == ("max" in given),
            {"anyOf": [{"required": ["min", "max"]}, _neither("min", "max")]},
        ),
    )

    duration: Duration | None = None
    """The pause, always the same."""
    min: Duration | None = None
    """The shortest pause, any between it and `max` being as likely."""
    max: Duration | None = None
    """The longest pause."""
    mean: Duration | None = None
    """The mean of pauses of random length."""
    distribution: Literal["exponential"] = "exponential"
    """With `mean`: the distribution of the pause."""


class If(Model):
    """Runs `then` when the condition holds, otherwise `else`."""

    condition: Expression
    """An expression; what counts as true in Python counts as true."""
    then: NestedSteps
    else_steps: Annotated[NestedSteps | None, Field(alias="else")] = None


class Choice(Model):
    """One way an iteration may go."""

    name: Label | None = None
    """What logs and messages call the choice; by default its place."""
    weight: PositiveInt = 1
    """How often it is taken, relative to the other choices."""
    steps: NestedSteps


class Repeat(Model):
    """Runs its steps several times: a number of times, or while a condition holds."""

    rules = (
        one_of("times", "while"),
        Rule(
            "!has(self.limit) || !has(self.times)",
            "limit belongs to while: times is the limit itself",
            lambda _, given: not {"limit", "times"} <= given,
            {"not": {"required": ["limit", "times"]}},
        ),
    )

    times: Annotated[int, Field(ge=0, le=MAX_TIMES)] | Text | None = None
    """A number up to 1,000,000, or one `${...}`, which is evaluated once, before the first round."""
    while_condition: Annotated[Expression | None, Field(alias="while")] = None
    """An expression, asked before each round."""
    limit: PositiveInt = 1000
    """With `while`: never more rounds than this; reaching it with the condition still true is a failed step."""
    index: Identifier | None = None
    """The name under which the steps see the round, from 0."""
    steps: NestedSteps


class Branch(Model):
    """Steps that run beside the other branches."""

    name: Label | None = None
    """What logs and messages call the branch; by default its place."""
    steps: NestedSteps


class Parallel(Model):
    """Runs its branches at the same time and waits for all of them."""

    branches: Annotated[list[Branch], Field(min_length=1, max_length=32)]


class Group(Model):
    """Times its steps as one."""

    steps: NestedSteps


class Python(Model):
    """Calls the user's own async function, `async def name(vu, **args)`.

    What it returns, a mapping, can be used as `${...}` when its names are listed in `outputs`.
    """

    rules = (one_of("file", "module"),)

    file: Name | None = None
    """The name of an entry of `spec.files` that holds the function."""
    module: Annotated[str, Field(max_length=255, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")] | None = None
    """A module that is installed beside the runner."""
    function: Annotated[str, Field(max_length=63, pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
    """The name of the function in the file or the module."""
    args: Annotated[dict[Identifier, JsonValue], Field(max_length=64)] | None = None
    """Keyword arguments; texts may hold `${...}`."""
    outputs: Annotated[list[Identifier], Field(max_length=64)] | None = None
    """Names of the returned mapping that later steps use."""
    timeout: Duration = "30s"
    """A call that takes longer has failed."""


class Extractor(Model):
    """Takes one value out of a response. Nothing found is a failure, unless there is a `default`."""

    rules = (one_of("jsonPath", "header", "regex", "cookie"),)

    json_path: Text | None = None
    """A JSONPath (RFC 9535) into the JSON body; its first match."""
    header: Text | None = None
    """The name of a response header; its value."""
    regex: Text | None = None
    """A regular expression over the body; its first group, or the whole match without one."""
    cookie: Text | None = None
    """The name of a cookie that the response sets; its value."""
    default: Annotated[JsonValue, Nullable] = None
    """Used when nothing is found."""
    all: bool = False
    """With `jsonPath` and `regex`: a list of all matches instead of the first."""


class Record(Model):
    """A metric of the user's own, recorded whenever the step ends, failed or not; a `value` only when it succeeded."""

    rules = (
        one_of("trend", "counter", "rate", "gauge"),
        Rule(
            "!has(self.gauge) || has(self.value)",
            "a gauge needs a value",
            lambda _, given: "gauge" not in given or "value" in given,
            {"anyOf": [{"required": ["value"]}, _neither("gauge")]},
        ),
    )

    trend: Identifier | None = None
    """By default the step's duration in seconds, whether it failed or not."""
    counter: Identifier | None = None
    """By default 1 each time the step ended, whether it failed or not."""
    rate: Identifier | None = None
    """By default whether the step succeeded, each time it ended."""
    gauge: Identifier | None = None
    """The last value counts."""
    value: Expression | None = None
    """What is recorded, when not the default; required for a gauge. Recorded only when the step succeeded."""


OnError = Literal["continue", "endIteration", "abortRun"]

_ON_ERROR: OnError = "endIteration"


def _may_fail(step: Any, given: frozenset[str]) -> bool:
    """Whether a step has anything that can fail: think and check have only the value that they record, if any."""
    if not given & {"think", "check"}:
        return True
    record = getattr(step, "record", None)
    value = record.get("value") if isinstance(record, dict) else getattr(record, "value", None)
    return value is not None


class Step(Model):
    """One step of an iteration: exactly one kind, and what is done with its outcome."""

    rules = (
        one_of(*STEP_KINDS),
        Rule(
            "!(has(self.checks) || has(self.extract)) || has(self.http) || has(self.poll)",
            "checks and extract need a response: they belong to http and poll",
            lambda _, given: not given & {"checks", "extract"} or bool(given & {"http", "poll"}),
            {"anyOf": [{"required": ["http"]}, {"required": ["poll"]}, _neither("checks", "extract")]},
        ),
        Rule(
            "!has(self.onError) || self.onError == 'endIteration' || !(has(self.think) || has(self.check))"
            " || has(self.record) && has(self.record.value)",
            "a think or check step cannot fail, for a check that does not hold is only counted: leave out onError",
            lambda step, given: _may_fail(step, given) or getattr(step, "on_error", _ON_ERROR) == _ON_ERROR,
            {
                "anyOf": [
                    {"properties": {"onError": {"enum": [_ON_ERROR]}}},
                    _neither("think", "check"),
                    {"required": ["record"], "properties": {"record": {"required": ["value"]}}},
                ]
            },
        ),
    )

    name: Label | None = None
    """The value of the tag `step`; by default kind and place, such as `http-1`."""
    http: Http | None = None
    poll: Poll | None = None
    think: Think | None = None
    group: Group | None = None
    if_step: Annotated[If | None, Field(alias="if")] = None
    choose: Annotated[list[Choice], Field(min_length=1, max_length=32)] | None = None
    repeat: Repeat | None = None
    parallel: Parallel | None = None
    set: Annotated[dict[Identifier, JsonValue], Field(min_length=1, max_length=64)] | None = None
    """Names for later steps, not for this one; a text that is exactly `${expr}` keeps the expression's type."""
    check: Checks | None = None
    """Checks that need no response."""
    python: Python | None = None
    evm: EvmStep | None = None
    encrypt: Encrypt | None = None
    decrypt: Decrypt | None = None
    generate: Generate | None = None

    checks: Checks | None = None
    """Conditions on the response by name: counted, and the iteration goes on when one fails."""
    extract: Annotated[dict[Identifier, Extractor], Field(min_length=1, max_length=64)] | None = None
    record: Record | None = None
    tags: Tags | None = None
    """Tags of the user's own on everything this step measures."""
    on_error: OnError = _ON_ERROR
    """What follows when the step fails, or a step within it whose own `onError` is `endIteration`: go on after it, pass
    the failure on to the step around it and in the end to the iteration, or end the run. An iteration that ends so still makes
    the pauses of the scenario's own `think` steps after the failure: a failing target is hit no harder than a healthy one."""


Steps = Annotated[list[Step], Field(min_length=1, max_length=128)]


class StepBlock(Model):
    """Steps that run once per run: before the load, or after it."""

    steps: Steps
    timeout: Duration = "1m"
    """For all of them together."""
