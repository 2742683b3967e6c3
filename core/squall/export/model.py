"""What is pushed, where, and how: settled before the run by whoever starts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from squall.export.together import Together
from squall.metrics.buckets import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.export.names import Labels

Histograms = Literal["native", "classic"]

MAX_SERIES: Final = 10_000
"""Series of Prometheus that one exporter pushes, by default."""
BUFFER_BYTES: Final = 8 * 1024 * 1024
"""What waits for a receiver that is away, by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where to push.

    Attributes:
        url: `http://` or `https://`, with the path.
        authorization: Gives the header `Authorization`, empty for none; asked before each request, as tokens are renewed.
        tenant: The header `X-Scope-OrgID`; empty for none.
        ca_file: Certificates (PEM) that alone vouch for it; empty for those that the machine trusts.
        cert_file: Certificate and key (PEM) to present; empty for none.
        key_file: Its key, where it is in a file of its own.
        server_name: To verify, when not the URL's host.
        insecure_skip_verify: Verify nothing.
        policies: Where pushing may go at all: the patterns of each policy, see `squall.spec.hosts`.
    """

    url: str
    authorization: Callable[[], str] = field(default=str)
    tenant: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False
    policies: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How series look.

    Attributes:
        histograms: Native, or with classic buckets.
        schema: Of native ones: 2^schema buckets for each power of two.
        labels: Added to every series.
        max_series: See `squall.export.exposition`.
    """

    histograms: Histograms = "native"
    schema: int = SCHEMA
    labels: Labels = ()
    max_series: int = MAX_SERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWrite:
    """All that an exporter has to know.

    Attributes:
        receiver: Where to.
        form: How series look.
        buffer_bytes: What may wait of one run.
        together: What all that push by these settings may take.
    """

    receiver: Receiver
    form: Form = field(default_factory=Form)
    buffer_bytes: int = BUFFER_BYTES
    together: Together = field(default_factory=Together)
