"""Steps in the order in which they run: which names each one sees, and whether what it says can be compiled.

A name exists from the step on that extracts, sets or returns it. What only one branch of an `if` or `choose`
sets counts as there afterwards, since which branch is taken is known only at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.expr import Scope, compile_pattern
from squall.spec.checks import Checks, base_scope, check_auth, length_at
from squall.spec.evmstepchecks import EvmStepChecks
from squall.spec.httpchecks import check_backoff, check_request
from squall.spec.jsonpaths import jsonpath_problem
from squall.spec.language import MAX_TIMES, MIN_INTERVAL
from squall.spec.pythonfiles import PythonFile, read_python
from squall.spec.quantities import nanoseconds
from squall.spec.tree import Leaf, MapNode, Path, find, items_at, text_at
from squall.spec.urls import check_url
from squall.spec.wording import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TEXTS = ("headers", "query", "form")


def check_steps(checks: Checks) -> None:
    """Check setup, every scenario and teardown."""
    _StepChecks(checks).all()


class _StepChecks:
    """Walks through steps with the scope as it is at each of them."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._root = checks.root
        self._python: dict[str, PythonFile] = {}
        self._evm = EvmStepChecks(checks)
        self._kinds: dict[str, Callable[[Path, Scope], Scope]] = {
            "http": self._http_step,
            "poll": self._poll,
            "think": self._think,
            "group": self._group,
            "if": self._if,
            "choose": self._choose,
            "repeat": self._repeat,
            "parallel": self._parallel,
            "set": self._set,
            "check": self._check,
            "python": self._python_step,
            "evm": self._evm.check,
            "encrypt": self._evm.encrypt,
            "decrypt": self._evm.decrypt,
            "generate": self._evm.generate,
        }

    def all(self) -> None:
        start = self._steps(("spec", "setup", "steps"), base_scope(self._checks))
        self._duplicates(("spec", "setup", "steps"))
        for index, _ in enumerate(items_at(self._root, "spec", "scenarios")):
            path: Path = ("spec", "scenarios", index)
            self._steps((*path, "finally"), self._steps((*path, "steps"), start))
            self._duplicates((*path, "steps"), (*path, "finally"))
        self._steps(("spec", "teardown", "steps"), start)
        self._duplicates(("spec", "teardown", "steps"))

    def _steps(self, path: Path, scope: Scope) -> Scope:
        for index, item in enumerate(items_at(self._root, *path)):
            if isinstance(item, MapNode):
                scope = self._step((*path, index), item, scope)
        return scope

    def _step(self, path: Path, step: MapNode, scope: Scope) -> Scope:
        after = scope
        for kind, check in self._kinds.items():
            if kind in step.items:
                after = check((*path, kind), scope)
        seen = after.with_response() if {"http", "poll"} & step.items.keys() else after
        self._expressions((*path, "checks"), seen)
        names = self._extract((*path, "extract"))
        after = after.with_names(names)
        self._checks.expression((*path, "record", "value"), seen.with_names(names))
        self._checks.templates((*path, "tags"), scope)
        return after

    def _duplicates(self, *lists: Path) -> None:
        first: dict[str, Path] = {}
        for path in lists:
            for place in self._named(path):
                name = text_at(self._root, *place) or ""
                if name in first:
                    leaf = find(self._root, *first[name])
                    message = f'two steps are named "{name}"; the first is in line {leaf.origin.line if leaf else 0}'
                    hint = "rename one: results are kept by the name of the step"
                    self._checks.report(place, message, hint)
                first.setdefault(name, place)

    def _named(self, path: Path) -> Iterable[Path]:
        for index, step in enumerate(items_at(self._root, *path)):
            here = (*path, index)
            if text_at(step, "name"):
                yield (*here, "name")
            for below in _inner_lists(step, here):
                yield from self._named(below)

    # One method for each kind of step: it checks what stands at `path` and returns the scope after the step.

    def _http_step(self, path: Path, scope: Scope) -> Scope:
        request = scope.with_secrets()
        checks = self._checks
        checks.template((*path, "url"), request)
        check_url(checks, (*path, "url"))
        for key in ("raw", "json"):
            checks.templates((*path, key), request)
        check_auth(checks, path, request)
        check_request(checks, path)
        for key in _TEXTS:
            checks.templates((*path, key), request)
        checks.file_name((*path, "file"))
        for index, _ in enumerate(items_at(self._root, *path, "multipart")):
            part = (*path, "multipart", index)
            for key in ("name", "value", "filename", "contentType"):
                checks.template((*part, key), request)
            checks.file_name((*part, "file"))
        return scope

    def _poll(self, path: Path, scope: Scope) -> Scope:
        self._http_step((*path, "http"), scope)
        self._checks.expression((*path, "until"), scope.with_response())
        self._checks.expression((*path, "failWhen"), scope.with_response())
        interval, deadline = (length_at(find(self._root, *path), key) for key in ("interval", "deadline"))
        if interval is not None and deadline is not None and interval > deadline:
            self._checks.report(
                (*path, "interval"), "the pause is longer than the deadline", "make it shorter"
            )
        check_backoff(self._checks, (*path, "backoff"))
        for keys in (("interval",), ("backoff", "max")):
            pause = length_at(self._root, *path, *keys)
            if pause is not None and pause < nanoseconds(MIN_INTERVAL):
                message = f"the pause is shorter than {MIN_INTERVAL}"
                self._checks.report((*path, *keys), message, f"write {MIN_INTERVAL} or more")
        return scope

    def _think(self, path: Path, scope: Scope) -> Scope:
        least, most = (length_at(find(self._root, *path), key) for key in ("min", "max"))
        if least is not None and most is not None and least > most:
            self._checks.report((*path, "min"), "min is longer than max", "exchange them")
        return scope

    def _group(self, path: Path, scope: Scope) -> Scope:
        return self._steps((*path, "steps"), scope)

    def _if(self, path: Path, scope: Scope) -> Scope:
        self._checks.expression((*path, "condition"), scope)
        then = self._steps((*path, "then"), scope)
        return self._steps((*path, "else"), scope).with_names(then.names)

    def _choose(self, path: Path, scope: Scope) -> Scope:
        return self._branches(path, scope)

    def _parallel(self, path: Path, scope: Scope) -> Scope:
        return self._branches((*path, "branches"), scope)

    def _branches(self, path: Path, scope: Scope) -> Scope:
        names = scope.names
        for index, _ in enumerate(items_at(self._root, *path)):
            names |= self._steps((*path, index, "steps"), scope).names
        return scope.with_names(names)

    def _repeat(self, path: Path, scope: Scope) -> Scope:
        self._checks.template((*path, "times"), scope)
        self._times((*path, "times"))
        index = self._checks.new_name((*path, "index"), text_at(self._root, *path, "index"))
        inner = scope.with_names(index)
        after = self._steps((*path, "steps"), inner)
        # Asked before each round, also of what the round before has set.
        self._checks.expression((*path, "while"), after)
        return after

    def _times(self, path: Path) -> None:
        """A text without `${}` is a number already, and can be looked at now."""
        text = text_at(self._root, *path)
        if text is not None and "${" not in text and not (text.isdecimal() and int(text) <= MAX_TIMES):
            message = f"{show(text)} is no number of rounds"
            self._checks.report(
                path, message, f"write a whole number up to {MAX_TIMES}, or one expression in ${{}}"
            )

    def _set(self, path: Path, scope: Scope) -> Scope:
        node = find(self._root, *path)
        names = [*node.items] if isinstance(node, MapNode) else []
        siblings = frozenset(names) - scope.names
        known: list[str] = []
        for name in names:
            self._checks.templates((*path, name), scope, siblings)
            known += self._checks.new_name((*path, name), name)
        return scope.with_names(known)

    def _check(self, path: Path, scope: Scope) -> Scope:
        self._expressions(path, scope)
        return scope

    def _python_step(self, path: Path, scope: Scope) -> Scope:
        self._checks.templates((*path, "args"), scope.with_secrets())
        self._function(path)
        outputs = [node.value for node in items_at(self._root, *path, "outputs") if isinstance(node, Leaf)]
        names: list[str] = []
        for index, name in enumerate(outputs):
            names += self._checks.new_name((*path, "outputs", index), name if isinstance(name, str) else None)
        return scope.with_names(names)

    def _function(self, path: Path) -> None:
        name = self._checks.file_name((*path, "file"))
        function = text_at(self._root, *path, "function")
        file = self._checks.files.found.get(name or "")
        if name is None or function is None or file is None:
            return
        if name not in self._python:
            self._python[name] = read_python(file)
            problem = self._python[name].problem
            if problem:
                self._checks.problems.append(problem)
        wrong = self._python[name].wrong_function(function, name)
        if wrong:
            self._checks.report((*path, "function"), *wrong)
            return
        args = find(self._root, *path, "args")
        given = args.items if isinstance(args, MapNode) else {}
        if misfit := self._python[name].wrong_arguments(function, given):
            argument, message, hint = misfit
            place = (*path, "args", argument) if argument else (*path, "function")
            self._checks.report(place, message, hint, key=bool(argument))

    # Parts that several kinds share.

    def _expressions(self, path: Path, scope: Scope) -> None:
        node = find(self._root, *path)
        for name in node.items if isinstance(node, MapNode) else ():
            self._checks.expression((*path, name), scope)

    def _extract(self, path: Path) -> list[str]:
        node = find(self._root, *path)
        names: list[str] = []
        for name in node.items if isinstance(node, MapNode) else ():
            names += self._checks.new_name((*path, name), name)
            regex = text_at(node, name, "regex")
            if regex:
                try:
                    compile_pattern(regex)
                except ValueError as error:
                    self._checks.report((*path, name, "regex"), str(error))
            query = text_at(node, name, "jsonPath")
            if query is not None and (wrong := jsonpath_problem(query)):
                self._checks.report((*path, name, "jsonPath"), *wrong)
        return names


def _inner_lists(step: object, path: Path) -> Iterable[Path]:
    """The lists of steps inside a step."""
    if not isinstance(step, MapNode):
        return
    for key, keys in (("group", ("steps",)), ("repeat", ("steps",)), ("if", ("then", "else"))):
        for below in keys:
            if find(step, key, below) is not None:
                yield (*path, key, below)
    for index, _ in enumerate(items_at(step, "choose")):
        yield (*path, "choose", index, "steps")
    for index, _ in enumerate(items_at(step, "parallel", "branches")):
        yield (*path, "parallel", "branches", index, "steps")
