"""What the models allow at a path: the keys, the kind of value, the format.

A message such as `unknown key "stagse"; did you mean "stages"?` needs to know which keys are valid at that very
place, and `5 has no unit` needs to know that a duration belongs there. Both are in the models; this module
reads them there, so that no second list can go stale.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ForwardRef, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from squall.spec import steps as _steps
from squall.spec.base import DURATION_PATTERN, PERCENT_PATTERN, SIZE_PATTERN
from squall.spec.docstrings import attribute_docs

if TYPE_CHECKING:
    from squall.spec.tree import Path


@dataclass(slots=True)
class Shape:
    """What may stand at one place.

    Attributes:
        models: Objects that may stand there.
        items: What a list there holds.
        values: What a free mapping there holds.
        types: Scalar types.
        patterns: Formats of its text.
        description: The field's documentation.
    """

    models: list[type[BaseModel]] = field(default_factory=list)
    items: Any = None
    values: Any = None
    types: set[type] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    description: str = ""

    @property
    def is_duration(self) -> bool:
        """Whether it is a Go-style duration."""
        return DURATION_PATTERN in self.patterns

    @property
    def is_percent(self) -> bool:
        """Whether it is a share (`5%`)."""
        return PERCENT_PATTERN in self.patterns

    @property
    def is_size(self) -> bool:
        """Whether it is a number of bytes (`10KiB`)."""
        return SIZE_PATTERN in self.patterns

    @property
    def keys(self) -> dict[str, FieldInfo]:
        """The keys an object there may have, as written in manifests."""
        return {
            info.alias or name: info for model in self.models for name, info in model.model_fields.items()
        }


def shape_at(model: type[BaseModel], path: Path) -> Shape | None:
    """What may stand at a path below `model`; None where the models do not look (free JSON)."""
    shape = Shape(models=[model])
    for segment in path:
        inner = below(shape, segment)
        if inner is None:
            return None
        shape = inner
    return shape


def below(shape: Shape, segment: str | int) -> Shape | None:
    """What may stand under a key or index of something; None where the models do not look."""
    if isinstance(segment, int):
        return None if shape.items is None else _read(shape.items)
    info = shape.keys.get(segment)
    if info is not None:
        inner = _read(info.annotation)
        _read_metadata(info, inner)
        inner.description = _description(shape, segment)
        return inner
    return None if shape.values is None else _read(shape.values)


def _description(shape: Shape, key: str) -> str:
    for model in shape.models:
        for name, info in model.model_fields.items():
            if key == (info.alias or name):
                return attribute_docs(model).get(name, "")
    return ""


def _read(annotation: Any) -> Shape:
    shape = Shape()
    _collect(annotation, shape)
    return shape


def _collect(annotation: Any, shape: Shape) -> None:
    if isinstance(annotation, str | ForwardRef):  # `list["Step"]` keeps the bare text
        name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        annotation = getattr(_steps, name)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        _collect(args[0], shape)
        for part in args[1:]:
            _read_metadata(part, shape)
    elif origin in (Union, types.UnionType):
        for part in args:
            _collect(part, shape)
    elif origin is list:
        shape.items = args[0]
    elif origin is dict:
        shape.values = args[1]
    elif isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            shape.models.append(annotation)
        else:
            shape.types.add(annotation)


def _read_metadata(part: Any, shape: Shape) -> None:
    if isinstance(part, FieldInfo):
        for constraint in part.metadata:
            _read_metadata(constraint, shape)
        extra = part.json_schema_extra
        if isinstance(extra, dict) and "pattern" in extra:
            shape.patterns.add(str(extra["pattern"]))
        return
    pattern = getattr(part, "pattern", None)
    if pattern:
        shape.patterns.add(str(pattern))
