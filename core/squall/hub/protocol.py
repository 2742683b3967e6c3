"""What a runner and its hub say to each other, over one WebSocket that the runner opens.

MessagePack, one message a frame, each a map with its `type`; unknown fields are ignored, so that a newer
side may add some, and `VERSION` changes when that is not enough. All times are integers: nanoseconds of
the named clock. A runner only ever talks in its own monotonic clock; the hub, having measured the offset of
each connection, translates.

Every message may be sent again after a reconnect, and means the same then: a runner that has run setup answers
a second `Setup` with the outcome of the first. Pings never end, so a runner that hears nothing has lost its hub.

    runner                          hub
      Hello                 -->            who I am; when I started, if I have (a hub that was restarted asks nothing else)
                            <--  Welcome   what you have of me
                            <--  Ping      several, to measure the offset, then one a second
      Pong                  -->
      Ready                 -->            data open, target reachable
                            <--  Setup     to one runner
      SetupDone             -->
                            <--  SetupValues, Start
      Started, Snapshot...  -->  Ack
                            <--  Level     to all, each time that a search for capacity goes on
      Note, Probe, Abort    -->
                            <--  Stop
      Finished              -->            after the last snapshot
                            <--  Teardown  to one live runner
      TeardownDone          -->
                            <--  Goodbye   nothing more to do: exit 0
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from squall.metrics.snapshot import Snapshot

VERSION = 1
PATH = "/v1/runs/{run}/runner"
"""Where the WebSocket is opened; the token goes into `Authorization: Bearer`."""

Word = Annotated[str, msgspec.Meta(max_length=128, pattern=r"\A[A-Za-z][A-Za-z0-9_.-]*\Z")]
"""A name for machines. It may become the reason of a condition, or the name of an event."""
Severity = Literal["debug", "info", "warning", "error"]
Attempt = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Fields = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=128)], str | float | int | bool | None],
    msgspec.Meta(max_length=64),
]


class Message(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """Base of all messages."""


class Hello(Message, frozen=True, tag="hello"):
    """The first message of every connection.

    Attributes:
        version: The protocol's, `VERSION`.
        runner: Index of this runner within the run, from 0.
        attempt: A random word, new for every process; snapshots are cumulative within one attempt.
        shards: The shards it carries, from 0.
        now_ns: The runner's monotonic clock.
        started_ns: The start moment in the runner's monotonic clock, when it has begun the load.
        finished: Its load has ended.
        stopped: The reason of the stop it was told, empty without one.
    """

    version: int
    runner: int
    attempt: Attempt
    shards: tuple[int, ...]
    now_ns: int
    started_ns: int | None = None
    finished: bool = False
    stopped: Annotated[str, msgspec.Meta(max_length=256)] = ""


class Pong(Message, frozen=True, tag="pong"):
    """Answers a ping at once."""

    sent_ns: int
    """The ping's `sent_ns`, returned."""
    received_ns: int
    """The runner's monotonic clock."""


class Ready(Message, frozen=True, tag="ready"):
    """Manifest compiled, data open, target reachable: may start."""


class Failed(Message, frozen=True, tag="failed"):
    """The runner cannot take part: its data, its files or the target are not there."""

    reason: Word
    """A CamelCase word, such as `TargetUnreachable`."""
    message: str


class SetupDone(Message, frozen=True, tag="setupDone"):
    """Setup has run; `error` is empty when it succeeded, and `reason` when there is no better word for it than `SetupFailed`."""

    values: dict[str, Any]
    error: str = ""
    reason: str = ""


class Started(Message, frozen=True, tag="started"):
    """The load has begun, at this moment of the runner's monotonic clock."""

    at_ns: int


class Measured(Message, frozen=True, tag="measured"):
    """One second's snapshot. Repeated after a reconnect, without harm."""

    snapshot: Snapshot


class _Packed(Message, frozen=True, tag="measured"):
    """`Measured`, of a snapshot that is encoded already."""

    snapshot: msgspec.Raw


class Note(Message, frozen=True, tag="note"):
    """Something for the run's log."""

    level: Severity
    event: Word
    fields: Fields
    at_ns: int


class Probe(Message, frozen=True, tag="probe"):
    """The outcome of one connectivity check during or after the load."""

    ok: bool
    at_ns: int
    message: str = ""


class Abort(Message, frozen=True, tag="abort"):
    """A runner asks to end the run.

    Attributes:
        reason: A CamelCase word.
        message: For people.
        cause: `scenario`: a step with `onError: abortRun`, data that ran out with `whenExhausted: fail`, or
            a malformed row; `deadline`: it has reached `safety.maxDuration` by its own clock.
    """

    reason: Word
    message: str
    cause: Literal["scenario", "deadline"] = "scenario"


class Leaving(Message, frozen=True, tag="leaving"):
    """The process was told to terminate: it sends no more load, delivers what it has measured, and ends."""

    message: str


class Finished(Message, frozen=True, tag="finished"):
    """The load has ended and the last snapshot has been sent."""

    last_request_ns: int
    """When the last request was sent; 0 when none was."""


class TeardownDone(Message, frozen=True, tag="teardownDone"):
    """Teardown has run; `error` is empty when it succeeded."""

    error: str = ""


class Welcome(Message, frozen=True, tag="welcome"):
    """The hub knows this runner; `last_slot` is the last slot it has of this attempt, -1 without any.

    The runner then sends what came after that slot. Sent again in the middle of a connection, with -1, it asks for all
    that the runner keeps.
    """

    last_slot: int


class Ping(Message, frozen=True, tag="ping"):
    """Asks for the runner's clock."""

    sent_ns: int


class Setup(Message, frozen=True, tag="setup"):
    """Run the setup steps."""


class SetupValues(Message, frozen=True, tag="setupValues"):
    """What setup extracted, for every runner."""

    values: dict[str, Any]


class Start(Message, frozen=True, tag="start"):
    """Slot 0 begins at this moment of the runner's own monotonic clock.

    It may lie in the past for a runner that comes back, which then joins the plan at its current moment. What its place
    has delivered before is not told: whatever counts iterations or rows begins anew with each attempt.
    """

    at_ns: int


class Level(Message, frozen=True, tag="level"):
    """A search for capacity goes to another level at a moment that is still to come, or is over.

    Sent again, also to a runner that comes back, it means the same: a runner goes by the number.

    Attributes:
        scenario: Whose level.
        number: Of the order, from 0; a higher one replaces all before.
        target: VUs, or arrivals per `timeUnit`, of the whole fleet; 0 for no load.
        at_ns: From when on, in nanoseconds since the start of the run.
        last: The search is over: there will be no load any more.
    """

    scenario: str
    number: int
    target: int
    at_ns: int
    last: bool = False


class Ack(Message, frozen=True, tag="ack"):
    """The hub has everything up to this slot."""

    slot: int


class Stop(Message, frozen=True, tag="stop"):
    """No new request from now on; cancel what is in flight after `grace_ns`."""

    reason: str
    grace_ns: int


class Teardown(Message, frozen=True, tag="teardown"):
    """Run the teardown steps."""


class Goodbye(Message, frozen=True, tag="goodbye"):
    """Nothing more to do: exit 0."""


FromRunner = (
    Hello
    | Pong
    | Ready
    | Failed
    | SetupDone
    | Started
    | Measured
    | Note
    | Probe
    | Abort
    | Leaving
    | Finished
    | TeardownDone
)
"""What a runner sends."""
FromHub = Welcome | Ping | Setup | SetupValues | Start | Level | Ack | Stop | Teardown | Goodbye
"""What the hub sends."""

MAX_FRAME = 16 * 1024 * 1024
"""Largest frame either side accepts, in bytes; a snapshot of 10,000 trends takes about 4 MiB."""

CLOSE_REFUSED = 4000
"""WebSocket close code: this runner will never be welcome here (see the reason); do not come back."""
CLOSE_MALFORMED = 4001
"""WebSocket close code: a message could not be understood; coming back is fine."""
CLOSE_REPLACED = 4002
"""WebSocket close code: the same runner has opened another connection. Who has not opened it itself is not wanted any more."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_FROM_RUNNER: Final[msgspec.msgpack.Decoder[FromRunner]] = msgspec.msgpack.Decoder(FromRunner)
_FROM_HUB: Final[msgspec.msgpack.Decoder[FromHub]] = msgspec.msgpack.Decoder(FromHub)


def encode(message: Message) -> bytes:
    """The frame of a message."""
    return _ENCODER.encode(message)


def measured(snapshot: bytes) -> bytes:
    """The frame of `Measured` for an encoded snapshot, which is not packed a second time."""
    return _ENCODER.encode(_Packed(msgspec.Raw(snapshot)))


def from_runner(frame: bytes) -> FromRunner:
    """The message in a frame from a runner.

    Raises:
        msgspec.DecodeError: It is none.
    """
    try:
        return _FROM_RUNNER.decode(frame)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None


def from_hub(frame: bytes) -> FromHub:
    """The message in a frame from the hub.

    Raises:
        msgspec.DecodeError: It is none.
    """
    return _FROM_HUB.decode(frame)


class Assignment(msgspec.Struct, frozen=True):
    """What a runner process is given when it starts (JSON, on standard input or in a file).

    Attributes:
        run: The run's id.
        hub: The hub's base URL, such as `http://127.0.0.1:4180`.
        token: Proves to the hub that this runner belongs to the run.
        runner: Index of this runner within the run.
        shards: The shards it carries, from 0.
        manifest: The effective manifest, a `LoadTest` as plain data.
        variables: Values of the manifest's variables, secrets excepted.
        secrets: Values of its secret variables.
        files: Where each of `spec.files` lies on this machine.
        exit_with_parent: End at once when standard input closes: the process that started this one is gone.
        hub_ca: A file with the certificates, in PEM, that alone vouch for a hub with `https://`; empty for those that the
            machine trusts.
        allowed_hosts: For each policy that says where load may go, its patterns (`squall.spec.hosts`); connections have to
            keep all of them. Empty when there is none.
        log: Where the process's own log goes, beside what the hub is told: a file, `-` for standard error, empty for nowhere.
        log_level: The least level of its lines, where the command line names one; else manifest and environment decide.
    """

    run: str
    hub: str
    token: str
    runner: int
    shards: tuple[int, ...]
    manifest: dict[str, Any]
    variables: dict[str, Any]
    secrets: dict[str, str]
    files: dict[str, str]
    exit_with_parent: bool = False
    hub_ca: str = ""
    allowed_hosts: tuple[tuple[str, ...], ...] = ()
    log: str = ""
    log_level: str = ""
