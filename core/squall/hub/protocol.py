"""What a runner and its hub say to each other, over one WebSocket that the runner opens.

MessagePack, one message a frame, each a map with its `type`; unknown fields are ignored, so that a newer
side may add some, and `VERSION` changes when that is not enough. All times are integers: nanoseconds of
the named clock. A runner only ever talks in its own monotonic clock; the hub, having measured the offset of
each connection, translates.

    runner                          hub
      Hello                 -->            who I am; when I started, if I have (a hub that was restarted asks nothing else)
                            <--  Welcome   what you have of me
                            <--  Ping      several, to measure the offset
      Pong                  -->
      Ready                 -->            data open, target reachable
                            <--  Setup     to one runner
      SetupDone             -->
                            <--  SetupValues, Start
      Started, Snapshot...  -->  Ack
      Note, Probe, Abort    -->
                            <--  Stop
      Finished              -->            after the last snapshot
                            <--  Teardown  to one live runner
      TeardownDone          -->
                            <--  Goodbye   nothing more to do: exit 0
"""

from __future__ import annotations

from typing import Any

import msgspec

from squall.metrics.snapshot import Snapshot

VERSION = 1
PATH = "/v1/runs/{run}/runner"
"""Where the WebSocket is opened; the token goes into `Authorization: Bearer`."""


class Message(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """Base of all messages."""


class Hello(Message, tag="hello"):
    """The first message of every connection.

    Attributes:
        version: The protocol's, `VERSION`.
        runner: Index of this runner within the run, from 0.
        attempt: A random word, new for every process; snapshots are cumulative within one attempt.
        shards: The shards it carries, from 0.
        started_ns: The start moment in the runner's monotonic clock, when it has begun the load.
        finished: Its load has ended.
        stopped: The reason of the stop it was told, empty without one.
    """

    version: int
    runner: int
    attempt: str
    shards: tuple[int, ...]
    started_ns: int | None = None
    finished: bool = False
    stopped: str = ""


class Pong(Message, tag="pong"):
    """Answers a ping at once."""

    sent_ns: int
    """The ping's `sent_ns`, returned."""
    received_ns: int
    """The runner's monotonic clock."""


class Ready(Message, tag="ready"):
    """Manifest compiled, data open, target reachable: may start."""


class Failed(Message, tag="failed"):
    """The runner cannot take part: its data, its files or the target are not there."""

    reason: str
    """A CamelCase word, such as `TargetUnreachable`."""
    message: str


class SetupDone(Message, tag="setupDone"):
    """Setup has run; `error` is empty when it succeeded."""

    values: dict[str, Any]
    error: str = ""


class Started(Message, tag="started"):
    """The load has begun, at this moment of the runner's monotonic clock."""

    at_ns: int


class Measured(Message, tag="measured"):
    """One second's snapshot. Repeated after a reconnect, without harm."""

    snapshot: Snapshot


class Note(Message, tag="note"):
    """Something for the run's log."""

    level: str
    event: str
    fields: dict[str, Any]
    at_ns: int


class Probe(Message, tag="probe"):
    """The outcome of one connectivity check during or after the load."""

    ok: bool
    at_ns: int
    message: str = ""


class Abort(Message, tag="abort"):
    """A step with `onError: abortRun`, or data that ran out with `whenExhausted: fail`, asks to end the run."""

    reason: str
    message: str


class Finished(Message, tag="finished"):
    """The load has ended and the last snapshot has been sent."""

    last_request_ns: int
    """When the last request was sent; 0 when none was."""


class TeardownDone(Message, tag="teardownDone"):
    """Teardown has run; `error` is empty when it succeeded."""

    error: str = ""


class Welcome(Message, tag="welcome"):
    """The hub knows this runner; `last_slot` is the last slot it has of this attempt, -1 without any."""

    last_slot: int


class Ping(Message, tag="ping"):
    """Asks for the runner's clock."""

    sent_ns: int


class Setup(Message, tag="setup"):
    """Run the setup steps."""


class SetupValues(Message, tag="setupValues"):
    """What setup extracted, for every runner."""

    values: dict[str, Any]


class Start(Message, tag="start"):
    """Slot 0 begins at this moment of the runner's own monotonic clock.

    It may lie in the past for a runner that comes back, which then joins the plan at its current moment.
    """

    at_ns: int


class Ack(Message, tag="ack"):
    """The hub has everything up to this slot."""

    slot: int


class Stop(Message, tag="stop"):
    """No new request from now on; cancel what is in flight after `grace_ns`."""

    reason: str
    grace_ns: int


class Teardown(Message, tag="teardown"):
    """Run the teardown steps."""


class Goodbye(Message, tag="goodbye"):
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
    | Finished
    | TeardownDone
)
FromHub = Welcome | Ping | Setup | SetupValues | Start | Ack | Stop | Teardown | Goodbye


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
