"""What is wrong with a manifest, and where, so that its author can put it right in one go.

A manifest is written by hand, reviewed in a pipeline and applied by a robot. Whoever gets it wrong needs
the place (file, line, column), the path in the manifest's own words, what was wrong, and what to write
instead - for every mistake at once, since a tool that reports one mistake per run is run many times.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.errors import ExitCode, SquallError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_NAMES = 30


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a manifest, its files, its variables or in an option that changes it.

    Attributes:
        file: The file as the user named it, `<stdin>`, or the option (`--set http.timeout=x`) that
            brought the value.
        line: From 1; 0 when the mistake is in no line (a missing file, an option).
        column: From 1; 0 likewise.
        path: The place in the manifest, `spec.scenarios[0].stages[1].duration`; empty for a whole file.
        message: What is wrong.
        hint: What to do about it; may be empty when the message says it.
        where: The names on the way to the place, outermost first (`signup / hold`), for people who do not
            count list items.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    where: str = ""

    @property
    def place(self) -> str:
        """`file:line:column`, or only the file when there is no line."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def brief(self) -> str:
        """What is wrong, in one line, for a place that has no room for more."""
        return f"{self.path}: {self.message}" if self.path else self.message

    @property
    def explained(self) -> str:
        """The problem in one line, its hint indented below, without the file: what a server has stored is in none."""
        where = f" ({self.where})" if self.where else ""
        path = f"{self.path}{where}: " if self.path else ""
        return f"{path}{self.message}" + (f"\n    {self.hint}" if self.hint else "")

    def render(self) -> str:
        """The same with the place in the file."""
        return f"{self.place}: {self.explained}"


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems without repetitions, as they stand in the files from top to bottom."""
    return tuple(
        sorted(
            dict.fromkeys(problems),
            key=lambda p: (p.file, p.line, p.column, p.path, p.message),
        )
    )


def render_problems(problems: Iterable[Problem]) -> str:
    """All problems, one after the other, and a last line that counts them."""
    problems = in_order(problems)
    return "\n".join([*(problem.render() for problem in problems), count_problems(problems)])


def count_problems(problems: Iterable[Problem]) -> str:
    """`3 problems in 2 files`; options, which are no files, count for none."""
    problems = list(problems)
    files = {problem.file for problem in problems if not problem.file.startswith("--")}
    counted = plural(len(problems), "problem")
    return f"{counted} in {plural(len(files), 'file')}" if files else counted


class ManifestError(SquallError):
    """Manifests cannot be used; carries every problem found in any of them."""

    exit_code = ExitCode.MANIFEST

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__(render_problems(self.problems))


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, valid: Iterable[str]) -> str:
    """The valid name somebody most likely meant by `name`, or an empty string."""
    choices = sorted({choice for choice in valid if choice})
    folded = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean "stages"?`, to be appended to a message, or an empty string."""
    close = nearest(name, valid)
    return f'; did you mean "{close}"?' if close else ""


def one_of(valid: Iterable[str], what: str = "valid here") -> str:
    """`valid here: a, b, c`: the names there are, cut to a readable number."""
    choices = sorted({choice for choice in valid if choice})
    if not choices:
        return ""
    shown = ", ".join(choices[:_SHOWN_NAMES])
    more = f" and {len(choices) - _SHOWN_NAMES} more" if len(choices) > _SHOWN_NAMES else ""
    return f"{what}: {shown}{more}"
