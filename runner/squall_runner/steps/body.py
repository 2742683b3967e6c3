"""Request bodies: JSON, forms, raw text, files; constant ones are rendered once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from squall.expr import compile_json, compile_template
from squall.expr.limits import to_text
from squall_runner.http import Field, FileBody, FilePart, Multipart
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from squall.expr import Env, Scope
    from squall.expr import Template as Text
    from squall.spec.structs import Http, Part
    from squall_runner.http import StreamBody
    from squall_runner.steps.context import Context

    Rendered = bytes | StreamBody | None


@dataclass(frozen=True, slots=True)
class Body:
    """A compiled body.

    Attributes:
        content_type: What it is, unless the step's headers say otherwise; empty for nothing.
        constant: Whether it is always the same.
        render: Makes it.
    """

    content_type: str
    constant: bool
    render: Callable[[Env], Rendered]


def compile_body(http: Http, scope: Scope, ctx: Context) -> Body:
    """Compile the body of a request; raises as `compile_request`."""
    if http.json_body is not None:
        return _json(http, scope, ctx)
    if http.form is not None:
        return _form(http.form, scope, ctx)
    if http.raw is not None:
        return _raw(http.raw, scope, ctx)
    if http.file is not None:
        return _fixed("application/octet-stream", FileBody(find_file(http.file, ctx)))
    if http.multipart is not None:
        return _multipart(http.multipart, scope, ctx)
    return _fixed("", None)


def _raw(raw: str, scope: Scope, ctx: Context) -> Body:
    text = compile_template(raw, scope)
    known = ctx.constant(text)
    content_type = "text/plain; charset=utf-8"
    if known is not None:
        return _fixed(content_type, known.encode())
    value = text.value
    if value is text.render:
        return Body(content_type, constant=False, render=lambda env: text.render(env).encode())
    # A text that is exactly one `${}` may be bytes, such as what a step has encrypted: they are sent as they are.
    return Body(content_type, constant=False, render=lambda env: as_bytes(value(env)))


def as_bytes(value: Any) -> bytes:
    """A value as it is sent: bytes as they are, all else as the text that `${}` makes of it."""
    return value if isinstance(value, bytes) else to_text(value).encode()


def find_file(name: str, ctx: Context) -> Path:
    """Where a file of the manifest lies.

    Raises:
        LoadError: It is not there.
    """
    path = ctx.files.get(name)
    if path is None:
        raise LoadError("FileMissing", f"there is no file {name!r} in spec.files", "add it to spec.files")
    if not path.is_file():
        raise LoadError("FileMissing", f"the file {name!r} is not at {path}", "check its path in spec.files")
    return path


def _fixed(content_type: str, body: Rendered) -> Body:
    return Body(content_type, constant=True, render=lambda _: body)


def _json(http: Http, scope: Scope, ctx: Context) -> Body:
    compiled = compile_json(http.json_body, scope)
    if compiled.constant is not None or compiled.names <= {"var", "run"}:
        return _fixed("application/json", compiled.render(ctx.constants))
    return Body("application/json", constant=False, render=compiled.render)


def _form(form: dict[str, str], scope: Scope, ctx: Context) -> Body:
    parts = [(quote_plus(name), compile_template(text, scope)) for name, text in form.items()]
    content_type = "application/x-www-form-urlencoded"

    def render(env: Env) -> bytes:
        return "&".join([f"{name}={quote_plus(text.render(env))}" for name, text in parts]).encode()

    if all(ctx.constant(text) is not None for _, text in parts):
        return _fixed(content_type, render(ctx.constants))
    return Body(content_type, constant=False, render=render)


def _multipart(parts: list[Part], scope: Scope, ctx: Context) -> Body:
    makers = [_part(part, scope, ctx) for part in parts]
    form = Multipart([make(ctx.constants) for make, constant in makers if constant])
    if all(constant for _, constant in makers):
        return _fixed(form.content_type, form)
    boundary = form.content_type.partition("boundary=")[2]
    return Body(
        form.content_type,
        constant=False,
        render=lambda env: Multipart([make(env) for make, _ in makers], boundary=boundary),
    )


def _part(part: Part, scope: Scope, ctx: Context) -> tuple[Callable[[Env], Field | FilePart], bool]:
    """What makes a part, and whether it is always the same."""
    texts: list[Text] = [
        compile_template(text or "", scope)
        for text in (part.name, part.value, part.filename, part.content_type)
    ]
    name, value, filename, content_type = texts
    path = find_file(part.file, ctx) if part.file is not None else None
    shown = part.file or ""

    def make(env: Env) -> Field | FilePart:
        if path is None:
            return Field(name.render(env), value.render(env), content_type.render(env))
        told = filename.render(env) or shown
        return FilePart(name.render(env), path, told, content_type.render(env))

    return make, all(ctx.constant(text) is not None for text in texts)
