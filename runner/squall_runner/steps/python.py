"""`python`: the user's own async function, for what the language of steps cannot say.

The function is loaded once per process. What it may touch is the small public object `PythonVu`; its requests go
through the VU's own client, are measured under the step's name, and obey a stop like all others.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from squall.expr import EvaluationError, compile_template
from squall.spec.quantities import seconds
from squall_runner.http import build
from squall_runner.load import LoadError
from squall_runner.steps.body import find_file
from squall_runner.steps.context import Compiled
from squall_runner.steps.credentials import compile_auth
from squall_runner.steps.failure import EXPRESSION, PYTHON, Halted
from squall_runner.steps.http import compile_send, default_options
from squall_runner.steps.request import pick_target
from squall_runner.steps.values import compile_value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from squall.expr import Scope
    from squall.spec.structs import Python, Step
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Response
    from squall_runner.steps.context import Context, Site
    from squall_runner.steps.program import Compiler

    Function = Callable[..., Awaitable[Any]]


_ABSOLUTE = ("http://", "https://")


class PythonVu:
    """What a user's function is given of the VU that calls it.

    Attributes:
        id: Unique over all shards, from 1.
        iteration: From 0, per VU.
        shard: From 0.
        variables: All names that the steps before have: `vu.variables["token"]`, `vu.variables["var"]["region"]`.
    """

    __slots__ = ("_http", "_vu", "id", "iteration", "shard", "variables")

    def __init__(self, vu: Vu, http: _Http) -> None:
        self.id = vu.id
        self.iteration = vu.env["iter"]
        self.shard = vu.shard
        self.variables: Mapping[str, Any] = MappingProxyType(vu.env)
        self._vu = vu
        self._http = http

    async def http(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and return what came of it; measured like an http step.

        A failure is a response like any other: see its `error`, `status` and `ok`.

        Args:
            method: Such as `GET`.
            url: Absolute, or a path below `http.baseUrl`.
            json: A body, sent as JSON.
            data: A body as it stands; instead of `json`.
            headers: Added to those of `http.headers`; one named `Authorization` is shown instead of `http.auth`, which
                is for paths only.

        Raises:
            ValueError: The URL or a header is not valid.
        """
        if self._vu.root.halted:
            await asyncio.sleep(0)  # whoever catches everything and tries again must not freeze the process
        return await self._http.send(self._vu, method, url, json=json, data=data, headers=headers or {})

    def log(self, message: str, **fields: Any) -> None:
        """Write to the run's log; one line per step and message, however often it is called."""
        self._http.site.ctx.examples.log(self._http.site.ctx.scenario, self._http.site.name, message, fields)


class _Http:
    """The requests of one python step."""

    def __init__(self, site: Site, scope: Scope) -> None:
        ctx = site.ctx
        self.site = site
        self._send = compile_send(site, default_options(ctx), keep_body=True)
        self._pick = pick_target(max(1, len(ctx.targets)), ctx)
        templates = (
            (name, compile_template(text, scope.with_secrets()))
            for name, text in (ctx.http.headers or {}).items()
        )
        self._headers = {name.lower(): (name, template) for name, template in templates}
        self._auth = compile_auth(ctx.http.auth, scope.with_secrets(), ctx) if ctx.http.auth else None

    async def send(
        self,
        vu: Vu,
        method: str,
        url: str,
        *,
        json: Any,
        data: bytes | str | None,
        headers: Mapping[str, str],
    ) -> Response:
        """See `PythonVu.http`."""
        fields = {key: (name, text.render(vu.env)) for key, (name, text) in self._headers.items()}
        if self._auth is not None and not url.startswith(_ABSOLUTE):
            fields["authorization"] = ("Authorization", self._auth.render(vu.env))
        fields |= {name.lower(): (name, value) for name, value in headers.items()}
        body = data.encode() if isinstance(data, str) else data
        if json is not None:
            body = msgspec.json.encode(json)
            fields.setdefault("content-type", ("Content-Type", "application/json"))
        request = build(method, self._absolute(vu, url), list(fields.values()), body)
        response, _ = await self._send(vu, request, vu.scenario.stage)
        return response

    def _absolute(self, vu: Vu, url: str) -> str:
        targets = self.site.ctx.targets
        if url.startswith(_ABSOLUTE) or not targets:
            return url
        target = targets[self._pick(vu)]
        return f"{target.origin.key}{target.prefix}{url if url.startswith('/') else '/' + url}"


def compile_python(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a python step; loads the function.

    Raises:
        LoadError: It is not there, or is no async function.
    """
    spec = step.python
    assert spec is not None, "the step is of this kind"
    function = load_function(spec, compiler.ctx)
    http = _Http(site, scope)
    args = {name: compile_value(value, scope.with_secrets()) for name, value in (spec.args or {}).items()}
    outputs, timeout = tuple(spec.outputs or ()), seconds(spec.timeout)
    clock, observer = compiler.ctx.clock, compiler.ctx.observer

    async def run(vu: Vu) -> None:
        if vu.root.halted:
            raise Halted
        try:
            given = {name: make(vu.env) for name, make in args.items()}
        except EvaluationError as error:
            site.fail(vu, EXPRESSION, error.message, error.hint)
        try:
            async with asyncio.timeout(timeout) as limit:
                returned = await function(PythonVu(vu, http), **given)
            for name, value in _outputs(spec.function, returned, outputs).items():
                vu.env[name] = value
                if observer is not None:
                    observer.value(site, name, value)
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is a result
            late = isinstance(error, TimeoutError) and limit.expired()
            site.fail(vu, PYTHON, f"took longer than {timeout:g} s" if late else _described(error))
        finally:
            vu.ready = clock()

    return Compiled(run, frozenset(outputs))


class _WrongResultError(Exception):
    """What a function returned is not what its step promises."""


def _outputs(function: str, returned: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of the promised names.

    Raises:
        _WrongResultError: The function returned no mapping, or one that lacks some.
    """
    if not names:
        return {}
    if not isinstance(returned, Mapping):
        kind = "nothing" if returned is None else f"a value of type {type(returned).__name__}"
        text = f"{function} returned {kind}, but outputs need a mapping that has {', '.join(names)}"
        raise _WrongResultError(text)
    missing = [name for name in names if name not in returned]
    if missing:
        raise _WrongResultError(f"what {function} returned lacks {', '.join(missing)}")
    return {name: returned[name] for name in names}


def _described(error: Exception) -> str:
    """Type, text and the line of the user's code that raised it."""
    if isinstance(error, _WrongResultError):
        return str(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


_modules: dict[Path, ModuleType] = {}


def load_function(spec: Python, ctx: Context) -> Function:
    """The user's function; a module is loaded once per process.

    Raises:
        LoadError: It is not there, or is no async function.
    """
    where = spec.module or f"file {spec.file}"
    try:
        module = (
            importlib.import_module(spec.module)
            if spec.module
            else _load_file(find_file(spec.file or "", ctx))
        )
    except LoadError:
        raise
    except Exception as error:
        message = f"python: {where} cannot be loaded: {_described(error)}"
        raise LoadError("PythonFailed", message, "it has to be importable by itself") from error
    function = getattr(module, spec.function, None)
    if not inspect.iscoroutinefunction(function):
        found = "is no async function" if function is not None else "is not there"
        message = f"python: {spec.function} in {where} {found}"
        raise LoadError("PythonFailed", message, f"write: async def {spec.function}(vu, ...)")
    return function


def _load_file(path: Path) -> ModuleType:
    resolved = path.resolve()
    found = _modules.get(resolved)
    if found is None:
        name = f"squall_user_{len(_modules)}_{re.sub('[^A-Za-z0-9_]', '_', resolved.stem)}"
        loader = SourceFileLoader(name, str(resolved))
        spec = importlib.util.spec_from_loader(name, loader)
        assert spec is not None, "a loader was given"
        found = importlib.util.module_from_spec(spec)
        sys.modules[name] = found
        try:
            loader.exec_module(found)
        except BaseException:
            del sys.modules[name]
            raise
        _modules[resolved] = found
    return found
