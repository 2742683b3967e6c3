"""The options by which every command that takes a manifest changes it: the same names, the same meaning.

@click.command()
@click.argument("file")
@manifest_options
def run(file: str, *, changes: ManifestChanges) -> None:
    test = load_one(file, changes.options())
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.spec.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestChanges:
    """What the command line asks to change; as given, not yet checked against any manifest."""

    variants: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    vus: int | None = None
    duration: str | None = None
    stages: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    time_scale: float = 1.0

    def options(self, *, complete: bool = True, all_variants: bool = False) -> Options:
        """The options for `squall.validation`, with this process's environment.

        Args:
            complete: Whether secrets and cluster files must be given: for running, not for looking.
            all_variants: Whether variants that were not asked for are checked too.
        """
        import os

        from squall.spec.options import Options

        return Options(
            variants=self.variants,
            sets=self.sets,
            vus=self.vus,
            duration=self.duration,
            stages=self.stages,
            scenarios=self.scenarios,
            variables=dict(self.variables),
            files=dict(self.files),
            time_scale=self.time_scale,
            environ=dict(os.environ),
            complete=complete,
            all_variants=all_variants,
        )


def _pairs(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """`name=value` texts, split at the first `=`."""
    pairs = []
    for text in values:
        name, equals, rest = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form name=value", ctx, param)
        pairs.append((name, rest))
    return tuple(pairs)


_OPTIONS = (
    click.option(
        "--variant", "variants", multiple=True, metavar="NAME", help="Apply a variant; repeatable, in order."
    ),
    click.option("--vus", type=int, metavar="N", help="VUs of each scenario; a ramp gets this peak."),
    click.option(
        "--duration", metavar="D", help="Duration of each scenario; with --vus, a ramp becomes constant."
    ),
    click.option(
        "--stage",
        "stages",
        multiple=True,
        metavar="D:TARGET",
        help="Ramp in these stages instead, such as 2m:1000.",
    ),
    click.option(
        "--scenario", "scenarios", multiple=True, metavar="NAME", help="Only this scenario; repeatable."
    ),
    click.option(
        "--var", "variables", multiple=True, callback=_pairs, metavar="NAME=VALUE", help="Give a variable."
    ),
    click.option(
        "--file", "files", multiple=True, callback=_pairs, metavar="NAME=PATH", help="Give one of spec.files."
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set anything: scenarios.signup.stages[0].target=5.",
    ),
    click.option(
        "--time-scale", type=float, default=1.0, metavar="F", help="Multiply the durations of the schedule."
    ),
)
_NAMES = tuple(ManifestChanges.__dataclass_fields__)


def manifest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as one argument, `changes`."""

    @wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        changes = ManifestChanges(**{name: kwargs.pop(name) for name in _NAMES})
        return command(*args, changes=changes, **kwargs)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered
