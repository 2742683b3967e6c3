"""Whether this machine has room for the plan, asked before the load: file descriptors, and local ports.

A test that runs out of either at half of its load measures the machine that it runs on. Each connection takes a descriptor of the
process, and a local port towards its destination. What a plan takes is certain where VUs keep connections of their own, and an
upper bound elsewhere: what certainly does not fit is refused before anything is sent, what may not fit is warned of. Both
say what to change, with numbers.
"""

from __future__ import annotations

import ipaddress
import math
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from squall.plan.share import Share
from squall.spec.quantities import whole
from squall_runner.engine import machine
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from squall.plan.model import ScenarioPlan, TestPlan
    from squall.spec.structs import HttpDefaults, LoadTestSpec, Step
    from squall_runner.steps.context import Target

SPARE_FILES: Final = 64
"""Descriptors that the process needs beside those of its connections."""
CLOSING_SECONDS: Final = 60
"""How long the local port of a connection that was closed here stays taken (TIME_WAIT on Linux)."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What some shards of a plan take.

    Attributes:
        certain: Connections that are open at the same time when the plan is carried out.
        possible: Connections that may be.
        to_one: Of the certain ones, those to one destination.
        closing: Connections to one destination that may be open or just closed at the same time, where connections are
            closed again and again; 0 where they are kept.
    """

    certain: int = 0
    possible: int = 0
    to_one: int = 0
    closing: int = 0


def shared_connections(http: HttpDefaults, plan: TestPlan, shards: Iterable[int]) -> int | None:
    """How many of `http.sharedConnections` these shards have, one each at least; None without it.

    Over all shards the sum is exact, as there are never fewer of them than shards.
    """
    if http.shared_connections is None:
        return None
    limit = whole(http.shared_connections)
    return sum(max(1, Share(shard, plan.shards).of(limit)) for shard in shards)


def needs_of(spec: LoadTestSpec, plan: TestPlan, shards: Iterable[int], targets: Sequence[Target]) -> Needs:
    """What these shards of the plan take, with the base URLs that paths lead to."""
    http, shards = spec.http, tuple(shards)
    kept = http.keep_alive and not http.reset_between_iterations
    shared = shared_connections(http, plan, shards)
    cap = math.inf if shared is None else shared
    pairs = list(zip(spec.scenarios, plan.scenarios, strict=True))
    asking = [each for scenario, each in pairs if _asks(scenario.steps, paths=False)]
    at_home = [each for scenario, each in pairs if _asks(scenario.steps, paths=True)]
    spread = len(targets) if http.balancing == "per-vu" else 1
    closing = 0.0
    if not kept:
        for scenario, each in pairs:
            per_iteration = _requests(scenario.steps) if not http.keep_alive else 1
            closing += _peak_rate(each, shards) * CLOSING_SECONDS * per_iteration
    possible = sum(len(each.vus_of(shard)) for each in plan.scenarios for shard in shards)
    return Needs(
        certain=int(min(_peak_vus(asking, shards), cap)) if kept else 0,
        possible=int(min(possible, cap)) if len(targets) <= 1 else possible,
        to_one=int(min(-(-_peak_vus(at_home, shards) // max(spread, 1)), cap)) if kept else 0,
        closing=round(closing),
    )


def make_room(
    spec: LoadTestSpec,
    plan: TestPlan,
    targets: Sequence[Target],
    shards: Sequence[int],
    *,
    alone: bool,
    note: Callable[..., None],
) -> None:
    """Raise the limit of open files as far as the plan needs it, and see whether everything fits.

    Args:
        spec: What is asked for.
        plan: The same, compiled.
        targets: Where paths lead.
        shards: Those that this process carries.
        alone: Whether no other runner shares this machine's ports: in a pod, not with `squall run`.
        note: Writes to the run's log, see `Hooks.note`.

    Raises:
        LoadError: It certainly does not fit.
    """
    own = needs_of(spec, plan, shards, targets)
    everywhere = needs_of(spec, plan, range(plan.shards), targets)
    allowed = raise_file_limit(max(own.certain, own.possible))
    if allowed is not None:
        runners = _Runners(plan.shards, -(-plan.shards // len(shards)), len(plan.scenarios), alone=alone)
        _check_files(own, everywhere, allowed, runners, note)
    ports = machine.local_ports()
    direct = spec.http.proxy is None and len(targets) > 0 and all(map(_is_one_address, targets))
    _check_ports(
        own if alone else everywhere, ports, plan.shards, len(shards) if alone else 0, note, certain=direct
    )


def raise_file_limit(connections: int) -> int | None:
    """Raise the soft limit of open files to what so many connections need, as far as the hard limit allows.

    Returns:
        How many connections fit, below 0 if not even the process itself does for certain; None without a limit.
    """
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft - SPARE_FILES


@dataclass(frozen=True, slots=True)
class _Runners:
    """How a run is spread over processes, for the advice.

    Attributes:
        shards: Of the run.
        count: Processes that carry them.
        scenarios: Of the run: the parts of each are whole, so that a shard may have one VU more of each.
        alone: Whether each is on a machine of its own, see `make_room`.
    """

    shards: int
    count: int
    scenarios: int
    alone: bool

    def more(self, connections: int, allowed: int) -> str:
        """What to set for so many connections of all to fit, where each process may have `allowed`; empty if nothing does."""
        room = allowed - self.scenarios + 1
        if room < 1:
            return ""
        count = max(self.count + 1, -(-connections // room))
        shards = f"shards: {self.shards} -> {count}"
        if self.alone:
            own = (
                f"{shards}, each in a process of its own" if count > self.shards else "runner.shardsPerPod: 1"
            )
            return f"use more runners ({own})"
        if count > self.shards:
            return f"use more processes (`--processes {count}` together with {shards})"
        # Shards are whole, too: the fullest process may carry one more than others.
        each = -(-connections // self.shards)
        fitting = (some for some in range(count, self.shards) if -(-self.shards // some) * each <= room)
        return f"use more processes (`--processes {next(fitting, self.shards)}`)"


def _check_files(
    own: Needs, everywhere: Needs, allowed: int, runners: _Runners, note: Callable[..., None]
) -> None:
    """See whether the connections of this process fit into its limit of open files."""
    room, limit = max(0, allowed), allowed + SPARE_FILES
    wanted = max(own.certain, own.possible)
    if wanted <= room:
        return
    certain = own.certain > room
    total = everywhere.certain if certain else everywhere.possible
    share = f", or share connections (http.sharedConnections: {room * runners.count})" if room else ""
    raised = f"allow it more (`ulimit -n {_up(own.certain if certain else wanted)}`)"
    more = runners.more(total, room)
    hint = f"{raised}, {more}{share}" if more else f"{raised}{share}"
    if certain:
        message = f"{own.certain} VUs of this runner keep a connection each, and its process may have {limit} files open"
        raise LoadError("TooFewFiles", message, hint)
    message = f"the load may need {wanted + SPARE_FILES} open files, and this process is allowed {limit}"
    note("warning", "TooFewFiles", message=message, hint=hint)


def _check_ports(
    needs: Needs, ports: int, shards: int, carried: int, note: Callable[..., None], *, certain: bool
) -> None:
    """See whether there are enough local ports for the connections to one destination.

    Args:
        needs: Of all that share the ports.
        ports: How many there are.
        shards: Of the run.
        carried: Those on this machine, where others have ports of their own; 0 when all are here.
        note: Writes to the run's log.
        certain: The destination is known to be one address.
    """
    wanted = max(needs.to_one, needs.closing)
    if wanted <= ports:
        return
    more = f"use more pods (shards: {shards} -> {-(-shards * wanted // ports)}), " if carried else ""
    share = f"share connections (http.sharedConnections: {ports * (shards // carried if carried else 1)})"
    keep = "keep connections (http.keepAlive, no http.resetBetweenIterations), "
    hint = (
        f"{more}{share if needs.to_one >= needs.closing else keep.rstrip(', ')}, spread the load over several addresses "
        "(http.baseUrls), or widen net.ipv4.ip_local_port_range"
    )
    if needs.to_one > ports:
        message = f"{needs.to_one} VUs keep a connection each to one address, and this machine has {ports} local ports for that"
        if certain:
            raise LoadError("TooFewPorts", message, hint)
    else:
        message = (
            f"connections that are closed after use keep their local port for {CLOSING_SECONDS} s, which may be "
            f"{needs.closing} at a time, and this machine has {ports} for one address"
        )
    note("warning", "TooFewPorts", message=message, hint=hint)


def _up(connections: int) -> int:
    """A limit of files with room for so many connections, rounded up to thousands."""
    return -(-(connections + SPARE_FILES) // 1000) * 1000


def _asks(steps: Sequence[Step], *, paths: bool) -> bool:
    """Whether these steps send a request in any case, of the whole test's base URL if only those count."""
    for step in steps:
        http = step.http or (step.poll.http if step.poll else None)
        if http is not None and (not paths or http.url.startswith("/")):
            return True
        if step.group is not None and _asks(step.group.steps, paths=paths):
            return True
    return False


def _requests(steps: Sequence[Step]) -> int:
    """How many requests these steps send in any case."""
    return sum(
        1 if step.http or step.poll else _requests(step.group.steps) if step.group else 0 for step in steps
    )


def _peak_vus(scenarios: Sequence[ScenarioPlan], shards: Sequence[int]) -> int:
    """The most VUs that are active at the same time, of closed models on these shards."""
    closed = [each for each in scenarios if not each.is_open and each.executor != "capacity"]
    moments = sorted({moment for each in closed for moment in _moments(each)})
    return max((sum(_active(each, moment, shards) for each in closed) for moment in moments), default=0)


def _moments(plan: ScenarioPlan) -> list[int]:
    """When the number of VUs changes its course, and just before: between, it goes in a straight line."""
    ends = [moment for span in plan.stages for moment in (span.start_ns, span.end_ns)]
    return [moment - before for moment in (plan.start_ns, *ends) for before in (0, 1)]


def _active(plan: ScenarioPlan, moment: int, shards: Sequence[int]) -> int:
    if not plan.start_ns <= moment < plan.end_ns:
        return 0
    vus = round(plan.target(moment))
    if plan.iterations is not None:
        vus = min(vus, plan.iterations)
    shares = [share for shard in shards if (share := plan.share_for(shard)) is not None]
    return sum(share.of(vus) for share in shares)


def _peak_rate(plan: ScenarioPlan, shards: Sequence[int]) -> float:
    """The highest rate of arrivals on these shards; 0 for a closed model."""
    carried = sum(plan.share_for(shard) is not None for shard in shards)
    return plan.peak * carried / len(plan.carriers) if plan.is_open and plan.executor != "capacity" else 0.0


def _is_one_address(target: Target) -> bool:
    """Whether a base URL leads to one address: a name may have several."""
    host = target.origin.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
