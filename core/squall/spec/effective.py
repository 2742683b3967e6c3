"""A LoadTest as written -> the LoadTest as meant: variants, options and variables applied, models satisfied.

The order is part of the contract with users: variants, `--set`, variables, size (`--vus`, `--duration`, `--stage`,
`--scenario`), time scale, thresholds that watch nothing any more left out, then the models, files and checks.
No step stops at the first problem; each goes on with what it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squall.spec.checks import Checks, check_document
from squall.spec.evmchecks import check_evm
from squall.spec.files import Files, locate_files
from squall.spec.hostchecks import check_hosts
from squall.spec.httpchecks import check_http
from squall.spec.loadtest import LoadTest
from squall.spec.modelcheck import check_model
from squall.spec.outputchecks import check_outputs
from squall.spec.overrides import apply_overrides
from squall.spec.prune import prune_thresholds
from squall.spec.resources import metadata_problems
from squall.spec.sets import apply_sets
from squall.spec.stepchecks import check_steps
from squall.spec.timescale import apply_time_scale
from squall.spec.tree import MapNode, Node, find
from squall.spec.variables import Variables, resolve
from squall.spec.variants import apply_variants

if TYPE_CHECKING:
    from pathlib import Path

    from squall.spec.datafiles import DataFile
    from squall.spec.options import Options
    from squall.spec.problems import Problem


@dataclass(slots=True)
class Effective:
    """A LoadTest with everything applied, and all that was found on the way.

    Attributes:
        root: The tree, without `spec.variants`.
        model: The validated test; None when something is wrong with it.
        variables: As resolved.
        files: As found.
        data: What is known of the data files, by the name of the data.
        problems: What is wrong.
        warnings: What its author should know.
    """

    root: Node
    model: LoadTest | None
    variables: Variables
    files: Files
    data: dict[str, DataFile]
    problems: list[Problem]
    warnings: list[str] = field(default_factory=list)


def make_effective(root: Node, directory: Path, options: Options) -> Effective:
    """Apply the options to the tree of a LoadTest and check the outcome.

    Args:
        root: As written.
        directory: Where `files[].path` begins.
        options: What to change.
    """
    problems = metadata_problems(root)
    changed, found = apply_variants(root, options.variants)
    problems += found
    changed, found = apply_sets(changed, options.sets, LoadTest)
    problems += found
    changed, variables, unresolved = resolve(
        changed, given=options.variables, environ=options.environ, complete=options.complete
    )
    problems += unresolved
    changed, found = apply_overrides(changed, options)
    problems += found
    changed, found = apply_time_scale(changed, options.time_scale)
    problems += found
    warnings: list[str] = []
    if options.changes_manifest:
        changed, warnings = prune_thresholds(root, changed)
    model, changed, found = check_model(LoadTest, changed)
    problems += found
    files = locate_files(changed, directory, options)
    problems += files.problems
    checks = Checks(changed, variables, files)
    check_document(checks)
    check_http(checks)
    check_evm(checks)
    check_steps(checks)
    check_hosts(checks)
    check_outputs(checks)
    warnings += checks.warnings
    problems += [problem for problem in checks.problems if not _tells_again(problem, unresolved)]
    if not options.complete:
        warnings += [f'variable "{name}" has no value here: {way}' for name, way in variables.absent.items()]
        warnings += [f'file "{name}" is not here: {way}' for name, way in files.absent.items()]
    return Effective(
        without_variants(changed), _settled(model), variables, files, checks.data, problems, warnings
    )


def _tells_again(problem: Problem, unresolved: list[Problem]) -> bool:
    """Whether what an expression lacks is a variable that was told of already; other names of its text are news."""
    about_variables = "variable" in problem.message or "'var." in problem.message
    place = (problem.path, problem.line)
    return about_variables and any((other.path, other.line) == place for other in unresolved)


def without_variants(root: Node) -> Node:
    """The tree without `spec.variants`, which have been applied or not wanted."""
    spec = find(root, "spec")
    if isinstance(root, MapNode) and isinstance(spec, MapNode):
        return root.with_item("spec", spec.without("variants"))
    return root


def _settled(model: LoadTest | None) -> LoadTest | None:
    if model is None:
        return None
    return model.model_copy(update={"spec": model.spec.model_copy(update={"variants": []})})
