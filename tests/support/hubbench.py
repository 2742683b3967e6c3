"""A run of the hub's state machine and its runners, in a time that passes only when the test says so."""

from __future__ import annotations

from typing import Any

from support.fakerunner import Numbers, manifest

from squall.hub import protocol
from squall.hub.limits import SECOND
from squall.hub.members import PINGS
from squall.hub.model import Log, Record, RunSpec, Send
from squall.hub.outcome import conclude
from squall.hub.prepared import prepare
from squall.hub.run import RunState
from squall.report.model import Summary


class Bench:
    """A run and its runners, in a time that passes only when the test says so."""

    def __init__(self, count: int = 2, *, spec: dict[str, Any] | None = None, **parts: Any) -> None:
        self.now = 1_000 * SECOND
        shards = tuple((i,) for i in range(count))
        self.spec = RunSpec(run="r", manifest=manifest(shards=count, **parts), runners=shards, **(spec or {}))
        self.sent: list[tuple[int, Any]] = []
        self.records: list[Record] = []
        self.order: list[str] = []
        self.numbers = [Numbers(i, "a") for i in range(count)]
        self.offsets = [i * 10**12 for i in range(count)]
        self.state = self.build()

    def build(self) -> RunState:
        made = prepare(self.spec, self.now)
        self.plan, self.catalogue = made.plan, made.catalogue
        return made.state

    def act(self) -> None:
        """Do as the driver does, answering pings with a round trip of 2 ms."""
        while actions := self.state.take():
            for action in actions:
                match action:
                    case Send(runner, message):
                        self.sent.append((runner, message))
                        self.order.append(type(message).__name__)
                        if (
                            isinstance(message, protocol.Ping)
                            and self.state.members[runner].clock.samples < PINGS
                        ):
                            self.now += 2_000_000
                            read = self.now - 1_000_000 + self.offsets[runner]
                            self.state.received(runner, protocol.Pong(message.sent_ns, read), self.now)
                    case Record(kind):
                        self.records.append(action)
                        self.order.append(f"record {kind}")
                    case Log():
                        pass
            if self.state.due_ns <= self.now:
                self.state.tick(self.now)

    def hello(self, index: int, attempt: str = "a", **fields: Any) -> None:
        read = self.now + self.offsets[index]
        first = {"version": protocol.VERSION, "shards": (index,), "now_ns": read}
        self.state.hello(protocol.Hello(runner=index, attempt=attempt, **(first | fields)), self.now)
        self.act()

    def say(self, index: int, message: Any) -> None:
        self.state.received(index, message, self.now)
        self.act()

    def pass_time(self, seconds: float, *, alive: tuple[int, ...] | None = None) -> None:
        """Let time pass as the driver does; those alive answer pings."""
        end = self.now + round(seconds * SECOND)
        while self.state.due_ns <= end and self.state.phase != "finished":
            self.now = max(self.now, self.state.due_ns)
            self.state.tick(self.now)
            for i in range(len(self.numbers)) if alive is None else alive:
                self.state.members[i].heard_ns = self.now
            self.act()
        self.now = max(self.now, end)

    def begin(self) -> None:
        for i in range(len(self.numbers)):
            self.hello(i)
        for i in range(len(self.numbers)):
            self.say(i, protocol.Ready())
        self.now = max(self.now, self.state.start_ns or 0)

    def to_end_of(self, slot: int) -> None:
        assert self.state.start_ns is not None
        self.pass_time((self.state.start_ns + (slot + 1) * SECOND - self.now) / SECOND)

    def deliver(self, index: int, slot: int, requests: int = 10, **options: Any) -> None:
        self.say(index, protocol.Measured(self.numbers[index].slot(slot, requests, **options)))

    def slots(self, count: int, first: int = 0, **options: Any) -> None:
        """Everybody delivers these slots in time."""
        for slot in range(first, first + count):
            self.to_end_of(slot)
            for i in range(len(self.numbers)):
                if self.state.phase == "running":
                    self.deliver(i, slot, **options)

    def finish(self, *indices: int) -> None:
        for i in indices or range(len(self.numbers)):
            self.say(i, protocol.Finished(self.now + self.offsets[i]))

    def heard(self, index: int, kind: type) -> list[Any]:
        return [message for runner, message in self.sent if runner == index and isinstance(message, kind)]

    def summary(self) -> Summary:
        assert self.state.phase == "finished"
        return conclude(self.spec, self.state, self.plan, self.catalogue, "test").summary

    def restart(self) -> None:
        """Another hub process takes over: all that remains are the records."""
        self.state = self.build()
        self.state.restore([{"kind": each.kind, **each.fields} for each in self.records], self.now)
        self.act()

    @property
    def verdict(self):
        return self.summary().verdict
