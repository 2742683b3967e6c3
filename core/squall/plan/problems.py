"""What makes a plan impossible, in the words of the manifest, and all of it at once.

A manifest can be well formed and still ask for what cannot be: stages that last no time, a role on shard 20 of
10. These are found while compiling; they carry the path so that whoever knows the file adds line and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.errors import ExitCode, SquallError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """One thing that cannot be: where (`spec.scenarios[0].stages`), what is wrong, and what to do."""

    path: str
    message: str
    hint: str


class PlanError(SquallError):
    """The test cannot be planned; carries every problem found."""

    exit_code = ExitCode.MANIFEST

    def __init__(self, problems: Sequence[PlanProblem]) -> None:
        self.problems = tuple(problems)
        lines = [f"{p.path}: {p.message}\n    {p.hint}" for p in self.problems]
        super().__init__("\n".join(lines))
