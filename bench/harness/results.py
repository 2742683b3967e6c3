"""What a benchmark says: numbers with their goals, kept as JSON and shown, so that all benchmarks can be read alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

OUT = Path(__file__).parent.parent.parent / "build" / "bench"


@dataclass
class Number:
    """A measured number; without a goal it is there to be read beside the others."""

    name: str
    value: float
    unit: str
    goal: str = ""
    holds: bool = True


def at_least(name: str, value: float, unit: str, goal: float) -> Number:
    return Number(name, value, unit, f">= {goal:g}", value >= goal)


def at_most(name: str, value: float, unit: str, goal: float) -> Number:
    return Number(name, value, unit, f"<= {goal:g}", value <= goal)


def keep(name: str, numbers: Sequence[Number]) -> int:
    """Write them to `build/bench/NAME.json`; returns 1 when a goal is missed, 0 otherwise."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode([asdict(number) for number in numbers])) + b"\n")
    print(f"written to build/bench/{name}.json")
    return 0 if all(number.holds for number in numbers) else 1


def kept(name: str) -> list[Number]:
    """What was written there before."""
    path = OUT / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=list[Number]) if path.exists() else []


def show(numbers: Sequence[Number]) -> None:
    """Print a line for each."""
    for number in numbers:
        goal = f" (goal {number.goal})" if number.goal else ""
        state = "ok  " if number.holds else "MISS"
        print(f"{state} {number.name}: {number.value:,.4g} {number.unit}{goal}")
