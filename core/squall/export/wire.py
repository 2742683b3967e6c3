"""Prometheus' remote write protocol 1.0, as bytes: a `WriteRequest` in protobuf, compressed by snappy.

The messages are Prometheus' own (`prompb/types.proto`, `remote.proto`), as far as they are sent. They are described here and built when this
is imported, so that nothing generated has to be kept in step with the version of protobuf.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from squall.metrics.buckets import ZERO_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squall.export.histograms import Native
    from squall.export.names import Family, Labels

HEADERS: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
STALE: Final[float] = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The one NaN that ends a series (Prometheus' `value.StaleNaN`)."""

_PACKAGE: Final = "prometheus"
_Field = descriptor_pb2.FieldDescriptorProto
_ONE, _MANY = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
_MESSAGES: Final[dict[str, tuple[tuple[str, int, Any, Any, str], ...]]] = {
    "Label": (
        ("name", 1, _Field.TYPE_STRING, _ONE, ""),
        ("value", 2, _Field.TYPE_STRING, _ONE, ""),
    ),
    "Sample": (
        ("value", 1, _Field.TYPE_DOUBLE, _ONE, ""),
        ("timestamp", 2, _Field.TYPE_INT64, _ONE, ""),
    ),
    "BucketSpan": (
        ("offset", 1, _Field.TYPE_SINT32, _ONE, ""),
        ("length", 2, _Field.TYPE_UINT32, _ONE, ""),
    ),
    "Histogram": (
        # In a oneof, so that a count of 0 is written too: without one, a receiver reads a histogram of floats.
        ("count_int", 1, _Field.TYPE_UINT64, _ONE, "count"),
        ("sum", 3, _Field.TYPE_DOUBLE, _ONE, ""),
        ("schema", 4, _Field.TYPE_SINT32, _ONE, ""),
        ("zero_threshold", 5, _Field.TYPE_DOUBLE, _ONE, ""),
        ("zero_count_int", 6, _Field.TYPE_UINT64, _ONE, "zero_count"),
        ("positive_spans", 11, "BucketSpan", _MANY, ""),
        ("positive_deltas", 12, _Field.TYPE_SINT64, _MANY, ""),
        ("timestamp", 15, _Field.TYPE_INT64, _ONE, ""),
    ),
    "TimeSeries": (
        ("labels", 1, "Label", _MANY, ""),
        ("samples", 2, "Sample", _MANY, ""),
        ("histograms", 4, "Histogram", _MANY, ""),
    ),
    "MetricMetadata": (
        # An enum in Prometheus, which is the same on the wire.
        ("type", 1, _Field.TYPE_INT32, _ONE, ""),
        ("metric_family_name", 2, _Field.TYPE_STRING, _ONE, ""),
        ("help", 4, _Field.TYPE_STRING, _ONE, ""),
    ),
    "WriteRequest": (
        ("timeseries", 1, "TimeSeries", _MANY, ""),
        ("metadata", 3, "MetricMetadata", _MANY, ""),
    ),
}
"""Name, number, type, whether repeated, and oneof of each field."""
_TYPES: Final = {"counter": 1, "gauge": 2, "histogram": 3}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="squall/remote_write.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label, oneof in fields:
            made = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                made.type, made.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                made.type = kind
            if oneof:
                message.oneof_decl.add(name=oneof)
                made.oneof_index = len(message.oneof_decl) - 1
    pool = (
        descriptor_pool.DescriptorPool()
    )  # its own: another library may have described these messages as well
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES: Final = _classes()
_TimeSeries: Final = _CLASSES["TimeSeries"]
WriteRequest: Final = _CLASSES["WriteRequest"]
"""The message, for whoever wants to read what was written."""


@dataclass(frozen=True, slots=True)
class Body:
    """One request, ready to be sent.

    Attributes:
        data: Protobuf, compressed.
        samples: How many it holds.
        at_ms: The latest of them, Unix time in milliseconds.
    """

    data: bytes
    samples: int
    at_ms: int


def identity(name: str, labels: Labels) -> bytes:
    """The labels of a series, encoded once for all its samples; sorted, as the protocol asks for."""
    series = _TimeSeries()
    for key, value in sorted((*labels, ("__name__", name))):
        series.labels.add(name=key, value=value)
    return bytes(series.SerializeToString())


class Writer:
    """Gathers the samples of one request."""

    def __init__(self) -> None:
        self._request = WriteRequest()
        self._at_ms = 0
        self.samples = 0

    def sample(self, series: bytes, at_ms: int, value: float) -> None:
        """Add a sample of a series, at a time in milliseconds."""
        made = self._request.timeseries.add()
        made.MergeFromString(series)
        made.samples.add(value=value, timestamp=at_ms)
        self._note(at_ms)

    def histogram(self, series: bytes, at_ms: int, value: Native) -> None:
        """Likewise of a native histogram."""
        made = self._request.timeseries.add()
        made.MergeFromString(series)
        found = made.histograms.add(
            count_int=value.count,
            sum=value.total,
            schema=value.schema,
            zero_threshold=ZERO_THRESHOLD,
            zero_count_int=value.zero,
            positive_deltas=value.deltas,
            timestamp=at_ms,
        )
        for offset, length in value.spans:
            found.positive_spans.add(offset=offset, length=length)
        self._note(at_ms)

    def _note(self, at_ms: int) -> None:
        self.samples += 1
        self._at_ms = max(self._at_ms, at_ms)

    def metadata(self, families: Iterable[Family]) -> None:
        """Say what series of these names are."""
        for family in families:
            self._request.metadata.add(
                type=_TYPES[family.kind], metric_family_name=family.name, help=family.help
            )

    def body(self) -> Body:
        """All that was gathered."""
        data = bytes(cramjam.snappy.compress_raw(self._request.SerializeToString()))
        return Body(data, self.samples, self._at_ms)


def read(data: bytes) -> Any:
    """The `WriteRequest` in a request's body.

    Raises:
        ValueError: It is none.
    """
    try:
        return WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(data)))
    except Exception as error:
        raise ValueError(f"not a write request: {error}") from error
