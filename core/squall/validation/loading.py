"""From what somebody named on a command line to effective manifests, or to everything that is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from squall.plan.cron import CronError, parse_cron
from squall.spec.document import Document, document_of, read_documents
from squall.spec.effective import Effective, make_effective
from squall.spec.kinds import KINDS
from squall.spec.modelcheck import check_model, problem_at
from squall.spec.options import Options
from squall.spec.problems import ManifestError, Problem
from squall.spec.resources import head_problems, is_ours, metadata_problems
from squall.spec.schedule import LoadTestScheduleSpec
from squall.spec.sources import Source, read_sources
from squall.spec.tree import Leaf, MapNode, Node, find, plain, text_at
from squall.spec.variants import variant_names
from squall.validation.metrics import check_thresholds, compile_all, measured
from squall.validation.plans import check_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from squall.spec.files import LocalFile
    from squall.spec.loadtest import LoadTest
    from squall.spec.secrets import Secrets

_GROUP_MARK = "squall.dev/"
_MOST_VARIANTS = 50
"""As the model allows; more are refused, and must not take minutes to be."""


@dataclass(frozen=True, slots=True)
class EffectiveManifest:
    """A LoadTest as it will run.

    Attributes:
        name: `metadata.name`.
        source: The file it comes from, as the user named it.
        directory: Where its relative paths begin.
        model: The test, variables resolved, options applied.
        data: The same as plain data, for printing and keeping: what was written, without defaults. Secrets are
            references.
        variables: Values of the variables that are no secrets.
        secrets: Values of the secret ones that have one here.
        files: The files that can be read here, by name.
        warnings: What its author should know.
    """

    name: str
    source: str
    directory: Path
    model: LoadTest
    data: dict[str, Any]
    variables: dict[str, int | str]
    secrets: Secrets
    files: dict[str, LocalFile]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that was read and found right.

    Attributes:
        kind: `LoadTest`, `LoadTestSchedule` or `LoadTestPolicy`.
        name: `metadata.name`.
        source: The file it comes from.
        test: The effective test, for a LoadTest.
    """

    kind: str
    name: str
    source: str
    test: EffectiveManifest | None = None


@dataclass(slots=True)
class _Loading:
    options: Options
    problems: list[Problem] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)


def load_resources(
    paths: Iterable[str | Path], options: Options | None = None, *, stdin: BinaryIO | None = None
) -> list[Resource]:
    """Read, change and validate every resource in files, directories and standard input.

    Args:
        paths: Files, directories, or `-` for standard input.
        options: Changes to LoadTests.
        stdin: What `-` reads; the process's own by default.

    Raises:
        ManifestError: With every problem of every document.
    """
    sources, problems = read_sources(paths, stdin)
    return _load(sources, options or Options(), problems)


def load_text(text: str, options: Options | None = None, *, file: str = "<text>") -> list[Resource]:
    """As `load_resources`, for a text that is already there."""
    options = options or Options()
    return _load([Source(file, text, options.directory or Path.cwd())], options, [])


def load_stored(data: Mapping[str, Any], options: Options | None = None, *, file: str) -> Resource:
    """As `load_text`, for one resource as an API server has it."""
    options = options or Options()
    loading = _Loading(options)
    documents, loading.problems = document_of(dict(data), file)
    for document in documents:
        _load_document(loading, Source(file, document.text, options.directory or Path.cwd()), document)
    if loading.problems:
        raise ManifestError(loading.problems)
    return loading.resources[0]


def load_effective(
    paths: Iterable[str | Path], options: Options | None = None, *, stdin: BinaryIO | None = None
) -> list[EffectiveManifest]:
    """The LoadTests among `load_resources`. Raises ManifestError likewise, also when there are none."""
    names = [str(path) for path in paths]
    tests = [resource.test for resource in load_resources(names, options, stdin=stdin) if resource.test]
    if not tests:
        message = "there is no LoadTest in it"
        raise ManifestError(
            [Problem(names[0] if names else "-", 0, 0, "", message, "name a file with kind: LoadTest")]
        )
    return tests


def load_one(
    path: str | Path, options: Options | None = None, *, stdin: BinaryIO | None = None
) -> EffectiveManifest:
    """The one LoadTest of a file. Raises ManifestError likewise, also when there are several."""
    tests = load_effective([path], options, stdin=stdin)
    if len(tests) > 1:
        message = f"there are {len(tests)} LoadTests in it: {', '.join(test.name for test in tests)}"
        raise ManifestError(
            [Problem(str(path), 0, 0, "", message, "put the one to run into a file of its own")]
        )
    return tests[0]


def _load(sources: list[Source], options: Options, problems: list[Problem]) -> list[Resource]:
    loading = _Loading(options, problems)
    for source in sources:
        _load_source(loading, source)
    _same_names(loading)
    if loading.problems:
        raise ManifestError(loading.problems)
    return loading.resources


def _load_source(loading: _Loading, source: Source) -> None:
    documents, problems = read_documents(source.text, source.file)
    # In a directory lie other things too, templates of charts among them, which are no YAML yet.
    if source.named or _GROUP_MARK in source.text:
        loading.problems += problems
    for document in documents:
        if source.named or is_ours(document):
            _load_document(loading, source, document)


def _load_document(loading: _Loading, source: Source, document: Document) -> None:
    root = document.root
    problems = head_problems(root)
    if problems:
        loading.problems += problems
        return
    kind = text_at(root, "kind") or ""
    if kind == "LoadTest":
        test, problems = _load_test(root, source, loading.options)
    else:
        test, problems = None, _other_kind(root, kind, source, loading.options)
    loading.problems += problems
    loading.resources.append(Resource(kind, text_at(root, "metadata", "name") or "", source.file, test))


def _load_test(
    root: Node, source: Source, options: Options
) -> tuple[EffectiveManifest | None, list[Problem]]:
    effective = _checked(root, source, options)
    problems = effective.problems
    if options.all_variants and not options.variants:
        problems = [*problems, *_variant_problems(root, source, options, problems)]
    if problems or effective.model is None:
        return None, problems
    test = EffectiveManifest(
        name=effective.model.name,
        source=source.file,
        directory=options.directory or source.directory,
        model=effective.model,
        data=plain(effective.root),
        variables=effective.variables.values,
        secrets=effective.variables.secrets,
        files=effective.files.found,
        warnings=tuple(effective.warnings),
    )
    return test, []


def _checked(root: Node, source: Source, options: Options) -> Effective:
    """The effective test with the checks that need plan and metrics."""
    effective = make_effective(root, options.directory or source.directory, options)
    known, found = measured(effective.root)
    found += check_thresholds(effective.root, known)
    if effective.model is not None:
        told = {problem.path for problem in found}
        found += compile_all(effective.root, effective.model.spec, told)
    effective.problems += found
    problems, warnings = check_plan(effective)
    effective.problems += problems
    effective.warnings += warnings
    return effective


def _variant_problems(root: Node, source: Source, options: Options, known: list[Problem]) -> list[Problem]:
    """What is wrong with the test only when one of its variants is applied."""
    told = {(p.file, p.line, p.column, p.message) for p in known}
    problems: list[Problem] = []
    plain_options = replace(
        options, vus=None, duration=None, stages=(), scenarios=(), sets=(), time_scale=1.0, complete=False
    )
    for name in list(dict.fromkeys(variant_names(root)))[:_MOST_VARIANTS]:
        for problem in _checked(root, source, replace(plain_options, variants=(name,))).problems:
            place = (problem.file, problem.line, problem.column, problem.message)
            if place not in told:
                told.add(place)
                where = f"variant {name}" + (f": {problem.where}" if problem.where else "")
                problems.append(replace(problem, where=where))
    return problems


def _other_kind(root: Node, kind: str, source: Source, options: Options) -> list[Problem]:
    _, _, problems = check_model(KINDS[kind], root)
    problems += metadata_problems(root)
    if kind == "LoadTestSchedule":
        problems += _cron_problems(root, problems)
    template = find(root, "spec", "loadTestTemplate", "spec")
    if kind == "LoadTestSchedule" and isinstance(template, MapNode) and isinstance(root, MapNode):
        problems += _template_problems(root, template, source, options, problems)
    return problems


def _cron_problems(root: Node, known: list[Problem]) -> list[Problem]:
    """What a pattern cannot see: whether the times exist, and the zone."""
    text = text_at(root, "spec", "schedule")
    zone = text_at(root, "spec", "timeZone")
    if text is None or any(problem.path in ("spec.schedule", "spec.timeZone") for problem in known):
        return []
    try:
        parse_cron(text, zone if zone is not None else LoadTestScheduleSpec.model_fields["time_zone"].default)
    except CronError as error:
        return [problem_at(root, ("spec", error.key), f"{error}", error.hint)]
    return []


def _template_problems(
    root: MapNode, template: MapNode, source: Source, options: Options, known: list[Problem]
) -> list[Problem]:
    """The test that a schedule makes, checked as a test of its own."""
    told = {(p.file, p.line, p.column) for p in known}
    origin = template.origin
    items = {
        **{key: root.items[key] for key in ("apiVersion",) if key in root.items},
        "kind": Leaf("LoadTest", origin),
        "metadata": MapNode({"name": Leaf("made", origin)}, origin, {"name": origin}),
        "spec": template,
    }
    test = MapNode(items, origin, {**dict.fromkeys(items, origin), "spec": origin})
    # Nobody is there to give anything when a schedule fires: what it needs stands in the manifest or on the cluster.
    bare = Options(
        complete=False, read_files=False, all_variants=options.all_variants, directory=options.directory
    )
    _, problems = _load_test(test, source, bare)
    moved = [
        replace(problem, path=problem.path.replace("spec", "spec.loadTestTemplate.spec", 1))
        for problem in problems
    ]
    return [problem for problem in moved if (problem.file, problem.line, problem.column) not in told]


def _same_names(loading: _Loading) -> None:
    first: dict[tuple[str, str, str], Resource] = {}
    for resource in loading.resources:
        namespace = ""
        if resource.test is not None:
            namespace = str(resource.test.model.metadata.get("namespace", ""))
        key = (resource.kind, namespace, resource.name)
        if resource.name and key in first:
            message = f'two resources are named {resource.kind} "{resource.name}"'
            where = f"the other is in {first[key].source}; rename one of them"
            loading.problems.append(Problem(resource.source, 0, 0, "metadata.name", message, where))
        first.setdefault(key, resource)
