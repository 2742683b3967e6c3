"""Many inputs of the response path in a row, with a report: `python -m support.fuzzrun --inputs 1000000` is `make fuzz`."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from support.responsefuzz import Visitor, make_input, try_input

SLOW_SECONDS = 1.0
"""CPU time that one input may take; the usual is a ten-thousandth of it."""
_HANG_SECONDS = 60


@dataclass(slots=True)
class Report:
    """What became of many inputs.

    Attributes:
        inputs: How many there were.
        ends: How many ended in which class; `ok` without an error.
        wrong: The number of each input that did what it must not, and what that was; the first hundred.
        slowest: CPU time of the slowest input, and its number.
    """

    inputs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)


def fuzz(seed: int, numbers: range, progress: Callable[[Report], None] = lambda _: None) -> Report:
    """Runs inputs; to be called within a running event loop."""
    report = Report()
    visitor = Visitor()
    for number in numbers:
        before = time.process_time()
        try:
            response = try_input(visitor, seed, number)
            report.ends[response.error or "ok"] += 1
        except Exception as error:  # noqa: BLE001 - any exception at all is what is looked for
            report.ends["wrong"] += 1
            if len(report.wrong) < 100:
                report.wrong.append((number, f"{type(error).__name__}: {error}"))
            visitor = Visitor()
        spent = time.process_time() - before
        if spent > report.slowest[0]:
            report.slowest = (spent, number)
        report.inputs += 1
        if report.inputs % 1000 == 0:
            progress(report)
    return report


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _progress(total: int) -> Callable[[Report], None]:
    begun = shown = time.monotonic()

    def show(report: Report) -> None:
        nonlocal shown
        faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
        now = time.monotonic()
        if now - shown < 5 and report.inputs < total:
            return
        shown = now
        rate = report.inputs / (now - begun)
        _say(f"{report.inputs:>9,} of {total:,}   {rate:,.0f}/s   wrong: {report.ends['wrong']}")

    return show


def _lines(report: Report, seed: int, seconds: float) -> Iterator[str]:
    ends = ", ".join(f"{name} {count:,}" for name, count in report.ends.most_common())
    slow, number = report.slowest
    yield f"{report.inputs:,} inputs of seed {seed} in {seconds:.0f} s of CPU: {ends}"
    yield f"slowest: input {number}, {slow * 1000:.1f} ms"
    for number, what in report.wrong[:20]:
        case, _ = make_input(seed, number)
        yield f"WRONG input {number}: {what}\n      {case.method} {case.ending} {case.stream[:300]!r}"


def main() -> int:
    """Runs as many inputs as asked for; the exit code tells whether all were well."""
    parser = argparse.ArgumentParser(description="Feed odd responses to the HTTP client.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to run one again")
    given = parser.parse_args()
    before = time.process_time()

    async def run() -> Report:
        return fuzz(given.seed, range(given.first, given.first + given.inputs), _progress(given.inputs))

    report = asyncio.run(run())
    faulthandler.cancel_dump_traceback_later()
    _say("\n".join(_lines(report, given.seed, time.process_time() - before)))
    return 1 if report.wrong or report.slowest[0] > SLOW_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
