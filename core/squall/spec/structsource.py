"""Writes `squall.spec.structs`: the models of a LoadTest once more, as structs of msgspec.

Loading pydantic and building the models takes a runner longer than all else that it does before it is ready, and there are as many
runners as a test needs. What a runner is given has been checked against the models already, so it needs no more than their form.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.alias_generators import to_camel

from squall.spec.base import Model, Nullable
from squall.spec.loadtest import LoadTest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_HEAD = '''"""The models of a LoadTest as plain structs, see `squall.spec.received`.

Generated from the models by `python -m squall.spec.generate`; do not edit.
"""

# fmt: off

from typing import Any, Literal

import msgspec


class Struct(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of all of them."""
'''


def structs_source() -> str:
    """The module's text: a struct for each model below `LoadTest`, after those that it consists of."""
    writer = _Writer()
    writer.add(LoadTest)
    return "\n\n".join([_HEAD, *writer.texts])


class _Writer:
    """Collects the texts of structs."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._begun: set[type[Model]] = set()
        self._written: set[type[Model]] = set()

    def add(self, model: type[Model]) -> None:
        """Write a model's struct, and before it those that it consists of."""
        if model in self._begun:
            return
        self._begun.add(model)
        model.model_rebuild()
        head = f'class {model.__name__}(Struct, frozen=True, kw_only=True):\n    """See `{model.__module__}.{model.__name__}`."""\n'
        fields = [
            f"    {name}: {self._type(info.annotation)}{_assigned(name, info)}"
            for name, info in model.model_fields.items()
        ]
        self.texts.append("\n".join([head, *fields, ""]))
        self._written.add(model)

    def _type(self, annotation: Any) -> str:
        """A type as it is written; in quotes where it is not known yet, as a step that contains steps."""
        origin, inner = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._type(inner[0])
        if origin in (Union, types.UnionType):
            return " | ".join(dict.fromkeys(map(self._type, inner)))
        if origin is Literal:
            return f"Literal[{', '.join(map(_text, inner))}]"
        if origin is not None:
            return f"{origin.__name__}[{', '.join(map(self._type, inner))}]"
        if isinstance(annotation, type) and issubclass(annotation, Model):
            self.add(annotation)
            return annotation.__name__ if annotation in self._written else f'"{annotation.__name__}"'
        return "None" if annotation is type(None) else str(annotation.__name__)


def _assigned(name: str, info: FieldInfo) -> str:
    """What stands behind a field's type: its default, and its key where that is not just the name in camel case."""
    options = [f'name="{info.alias}"'] if info.alias != to_camel(name) else []
    if not info.is_required():
        default = "msgspec.UNSET" if Nullable in info.metadata else _value(info.default)
        shared = default == "[]" or not default.startswith("[")
        if shared and not options:
            return f" = {default}"
        options.append(f"default={default}" if shared else f"default_factory=lambda: {default}")
    return f" = msgspec.field({', '.join(options)})" if options else ""


def _value(value: Any) -> str:
    """A default as it is written."""
    if isinstance(value, Model):
        given = (f"{name}={_value(getattr(value, name))}" for name in sorted(value.model_fields_set))
        return f"{type(value).__name__}({', '.join(given)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value)


def _text(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
