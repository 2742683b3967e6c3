"""From the manifest's scenarios to schedules: the one place that knows each executor's fields and defaults.

`compile_plan` needs a manifest whose `${var.x}` are resolved. It finds every problem before it gives up, so
that validation can show them all; `check_plan` is the same for callers that want the problems as values.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from squall.plan.arrivals import ArrivalSchedule
from squall.plan.model import SECOND, ScenarioPlan, StageSpan, TestPlan
from squall.plan.problems import PlanError, PlanProblem
from squall.plan.rates import RateCurve, RateRamp
from squall.plan.search import SearchPlan
from squall.plan.share import parse_shard_ranges
from squall.plan.vus import Ramp, VuCurve
from squall.spec.language import DEFAULT_MAX_DURATION
from squall.spec.quantities import exact_share, format_duration, nanoseconds, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.spec import structs
    from squall.spec.loadtest import LoadTestSpec
    from squall.spec.scenarios import CapacitySearch, Scenario, Stage

MAX_VUS = 1_000_000
"""VUs of a scenario over all shards: a typing error rather than a test above it."""
MAX_RATE = 10_000_000
"""Arrivals per second of a scenario over all shards, likewise."""
MAX_SHARDS = 10_000
"""Shards of a run, likewise."""
DEFAULT_MAX_VUS = 1000
"""Iterations in flight at most when an arrival executor names no VUs."""


def compile_plan(spec: LoadTestSpec | structs.LoadTestSpec, *, shards: int | None = None) -> TestPlan:
    """The plan of a test.

    Args:
        spec: The manifest's spec, variables resolved.
        shards: Overrides `spec.shards`.

    Raises:
        PlanError: Parts of the test are impossible; it lists all of them.
        ValueError: A `${var.x}` has not been resolved.
    """
    problems: list[PlanProblem] = []
    count = _shards(spec, shards, problems)
    plans: list[ScenarioPlan] = []
    vu_base = 0
    scenarios: Sequence[Scenario | structs.Scenario] = spec.scenarios
    for i, scenario in enumerate(scenarios):
        compiler = _Compiler(scenario, f"spec.scenarios[{i}]", count, problems)
        plan = compiler.compile(vu_base)
        plans.append(plan)
        vu_base += plan.max_vus
    if problems:
        raise PlanError(problems)
    return TestPlan(tuple(plans), count)


def check_plan(spec: LoadTestSpec, *, shards: int | None = None) -> tuple[PlanProblem, ...]:
    """Everything that makes the test impossible; empty when it can be planned. Raises ValueError likewise."""
    try:
        compile_plan(spec, shards=shards)
    except PlanError as error:
        return error.problems
    return ()


def _shards(
    spec: LoadTestSpec | structs.LoadTestSpec, override: int | None, problems: list[PlanProblem]
) -> int:
    count = whole(spec.shards) if override is None else override
    if 1 <= count <= MAX_SHARDS:
        return count
    message = f"{count} shards are not possible"
    problems.append(PlanProblem("spec.shards", message, f"use between 1 and {MAX_SHARDS}"))
    return 1


class _Compiler:
    """Compiles one scenario; notes what is impossible and goes on."""

    def __init__(
        self, scenario: Scenario | structs.Scenario, path: str, shards: int, problems: list[PlanProblem]
    ) -> None:
        self.scenario = scenario
        self.path = path
        self.shards = shards
        self.problems = problems

    def compile(self, vu_base: int) -> ScenarioPlan:
        scenario = self.scenario
        start = nanoseconds(scenario.start_time)
        search = self.search(scenario.search) if scenario.search else None
        if search is not None:
            load = self.most_of(search)
        else:
            load = self.arrivals() if scenario.executor.endswith("arrival-rate") else self.vus()
        max_vus, pre_allocated = self.vu_bounds(load)
        iterations = _optional(scenario.iterations)
        shared = scenario.executor == "shared-iterations"
        return ScenarioPlan(
            name=scenario.name,
            executor=scenario.executor,
            load=load,
            start_ns=start,
            graceful_stop_ns=nanoseconds(scenario.graceful_stop),
            graceful_ramp_down_ns=nanoseconds(scenario.graceful_ramp_down or "30s"),
            stages=self.spans(start, load.end_ns),
            max_vus=max_vus,
            pre_allocated_vus=pre_allocated,
            vu_base=vu_base,
            shards=self.placement(),
            iterations_per_vu=None if shared else iterations,
            iterations=iterations if shared else None,
            max_iterations=_optional(scenario.max_iterations),
            when_saturated=scenario.when_saturated or "drop",
            search=search,
        )

    def vus(self) -> VuCurve:
        scenario = self.scenario
        if scenario.executor == "ramping-vus":
            ramps = tuple(Ramp(length, target) for length, target in self.stages())
            curve = VuCurve(whole(1 if scenario.start_vus is None else scenario.start_vus), ramps)
            self.lasts("stages", curve.end_ns)
        else:
            key, given = "duration", scenario.duration
            if scenario.executor != "constant-vus":
                key, given = "maxDuration", scenario.max_duration or DEFAULT_MAX_DURATION
            length = nanoseconds(given or "0s")
            curve = VuCurve.constant(whole(scenario.vus or 1), length)
            self.lasts(key, curve.end_ns)
        if curve.max_vus < 1:
            self.note("stages", "no VU is ever active", "give startVUs or a stage's target a number above 0")
        self.bounded("stages" if scenario.stages else "vus", curve.max_vus)
        return curve

    def unit(self) -> int:
        """What rates count per, in nanoseconds."""
        unit = nanoseconds(self.scenario.time_unit or "1s")
        if unit < 1:
            self.note("timeUnit", "a rate per no time is none", "write for example 1s or 1m")
            return SECOND
        return unit

    def arrivals(self) -> ArrivalSchedule:
        scenario = self.scenario
        unit = self.unit()
        constant = scenario.executor == "constant-arrival-rate"
        if constant:
            rate = Fraction(whole(scenario.rate or 0), unit)
            key, length = "duration", nanoseconds(scenario.duration or "0s")
            curve = RateCurve(rate, (RateRamp(length, rate),))
        else:
            key = "stages"
            ramps = tuple(RateRamp(length, Fraction(target, unit)) for length, target in self.stages())
            curve = RateCurve(Fraction(whole(scenario.start_rate or 0), unit), ramps)
        self.lasts(key, curve.end_ns)
        schedule = ArrivalSchedule(
            curve,
            scenario.arrivals or "uniform",
            at_once=constant,
            cap=_optional(scenario.max_iterations),
            seed=f"{_optional(scenario.seed) or 0}/{scenario.name}",
        )
        self.arrives("rate" if constant else "stages", schedule)
        return schedule

    def search(self, spec: CapacitySearch | structs.CapacitySearch) -> SearchPlan:
        start, most = whole(spec.start), whole(spec.max)
        if start > most:
            self.note("search.start", f"{start} is more than max, {most}", "raise max, or begin lower")
        if (growth := exact_share(spec.growth)) == 0:
            self.note("search.growth", "the load is never raised", "write for example 50%")
        if not 0 < exact_share(spec.precision) <= 1:
            self.note("search.precision", "this has to be above 0%, and at most 100%", "write for example 5%")
        if nanoseconds(spec.hold) < SECOND:
            self.note("search.hold", "levels are judged by whole seconds", "write 1s or more")
        return SearchPlan(
            by=spec.by,
            start=start,
            maximum=most,
            growth=growth,
            precision=exact_share(spec.precision),
            confirmations=spec.confirmations,
            settle=_slots(spec.settle),
            hold=max(1, _slots(spec.hold)),
            cooldown=_slots(spec.cooldown),
            unit_ns=self.unit() if spec.by == "rate" else SECOND,
            kind=self.scenario.arrivals or "uniform",
            seed=f"{_optional(self.scenario.seed) or 0}/{self.scenario.name}",
        )

    def most_of(self, search: SearchPlan) -> VuCurve | ArrivalSchedule:
        """The most load that there can be, for as long as the search may last."""
        length = nanoseconds(self.scenario.max_duration or DEFAULT_MAX_DURATION)
        start = -(-nanoseconds(self.scenario.start_time) // SECOND) * SECOND
        if start + search.slots * SECOND > nanoseconds(self.scenario.start_time) + length:
            lasts = format_duration(search.slots * SECOND)
            message = f"{format_duration(length)} is too short for a single level, which lasts {lasts}"
            self.note("maxDuration", message, "make it longer, or search.hold and search.settle shorter")
        if search.by == "vus":
            self.bounded("search.max", search.maximum)
            return VuCurve.constant(search.maximum, length)
        schedule = search.schedule(search.maximum, length)
        self.arrives("search.max", schedule)
        return schedule

    def arrives(self, key: str, schedule: ArrivalSchedule) -> None:
        if schedule.end_ns and not schedule.total:
            self.note(key, "not one iteration is ever due", "raise the rate or the duration")
        if schedule.curve.peak() > MAX_RATE:
            message = f"{float(schedule.curve.peak()):.3g} iterations per second are not possible"
            self.note(key, message, f"use at most {MAX_RATE} per second; mind timeUnit")

    def vu_bounds(self, load: VuCurve | ArrivalSchedule) -> tuple[int, int]:
        """VUs at most, and VUs to prepare."""
        if isinstance(load, VuCurve):
            return load.max_vus, load.max_vus
        given = _optional(self.scenario.pre_allocated_vus)
        most = _optional(self.scenario.max_vus)
        if most is None:
            most = DEFAULT_MAX_VUS if given is None else given
        elif given is not None and most < given:
            self.note(
                "maxVUs", f"{most} is less than preAllocatedVUs, {given}", "raise maxVUs, or leave it out"
            )
        self.bounded("maxVUs", most)
        return most, min(most, 1 if given is None else given)

    def stages(self) -> list[tuple[int, int]]:
        """Length in nanoseconds and target of each stage."""
        return [(nanoseconds(stage.duration), whole(stage.target)) for stage in self.scenario.stages or []]

    def spans(self, start_ns: int, length_ns: int) -> tuple[StageSpan, ...]:
        stages: Sequence[Stage | structs.Stage] | None = self.scenario.stages
        if not stages:
            return (StageSpan("", start_ns, start_ns + length_ns),)
        found: list[StageSpan] = []
        at = start_ns
        for i, stage in enumerate(stages):
            end = at + nanoseconds(stage.duration)
            found.append(StageSpan(stage.name or str(i + 1), at, end))
            at = end
        return tuple(found)

    def placement(self) -> tuple[int, ...]:
        everywhere = tuple(range(self.shards))
        if self.scenario.placement is None:
            return everywhere
        try:
            shards = parse_shard_ranges(self.scenario.placement.shards)
        except ValueError as error:
            self.note("placement.shards", str(error), "write for example 1-10, or 1-5,11")
            return everywhere
        if shards[-1] >= self.shards:
            message = f"shard {shards[-1] + 1} is named, but the run has {self.shards}"
            self.note("placement.shards", message, f"raise spec.shards to {shards[-1] + 1}, or name others")
            return everywhere
        return shards

    # Problems: noted, and the compilation goes on.

    def note(self, key: str, message: str, hint: str) -> None:
        self.problems.append(PlanProblem(f"{self.path}.{key}", message, hint))

    def lasts(self, key: str, length_ns: int) -> None:
        if length_ns == 0:
            self.note(key, f"the scenario lasts {format_duration(length_ns)}", "give it a duration above 0s")

    def bounded(self, key: str, vus: int) -> None:
        if vus > MAX_VUS:
            self.note(key, f"{vus} VUs are not possible", f"use at most {MAX_VUS} in a scenario")


def _slots(duration: str) -> int:
    """Whole slots that a duration reaches into."""
    return -(-nanoseconds(duration) // SECOND)


def _optional(value: int | str | None) -> int | None:
    return None if value is None else whole(value)
