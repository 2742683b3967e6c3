"""What is measured of a chain: series that were looked up once, and what fills them.

Calls and transactions come in thousands a second, so each has its series at hand; the rest of the runner knows small interfaces
(`recorded` of `Rpc`, `Sink` of accounts) and nothing of metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from squall_runner.evm.sending.outgoing import Sink
from squall_runner.recording import make_tags

if TYPE_CHECKING:
    from squall_runner.evm.money.funds import Funds
    from squall_runner.evm.node.failures import Kind
    from squall_runner.evm.sending.outgoing import Sent
    from squall_runner.recording import CounterSeries, RateSeries, Recorder, Tags, TrendSeries

_MOST_METHODS: Final = 64
"""A manifest may call anything; methods beyond so many are counted without their name."""
_REVERTED: Final = "reverted"
_WEI: Final = 1e-18


@dataclass(slots=True)
class _Calls:
    """The series of calls with one outcome."""

    requests: CounterSeries
    failed: RateSeries
    duration: TrendSeries
    errors: CounterSeries | None


class RpcMeters:
    """Counts calls, by endpoint and method.

    Args:
        recorder: Where measurements go.

    Attributes:
        active: Whether calls are counted: those of teardown are not, as nothing of it is.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.active = True
        self._recorder = recorder
        self._known: dict[tuple[str, str, str], _Calls] = {}
        self._methods: set[str] = set()

    def recorded(self, endpoint: str, method: str, seconds: float, error: str) -> None:
        """A try of a call has ended; `error` is empty when it was answered."""
        if not self.active:
            return
        known = self._known.get((endpoint, method, error))
        if known is None:
            known = self._known[endpoint, method, error] = self._make(endpoint, method, error)
        known.requests.value += 1
        known.duration.add(seconds)
        known.failed.add(hit=known.errors is not None)
        if known.errors is not None:
            known.errors.value += 1

    def health(self, endpoint: str, up: bool, behind: float) -> None:  # noqa: FBT001 - as `Rpc` calls it
        """An endpoint was looked at: whether it is asked, and how many seconds its head is behind."""
        if not self.active:
            return
        tags = make_tags(endpoint=endpoint)
        self._recorder.gauge("evm_endpoint_up", tags).set(float(up))
        self._recorder.gauge("evm_head_lag", tags).set(behind)

    def _make(self, endpoint: str, method: str, error: str) -> _Calls:
        if len(self._methods) < _MOST_METHODS:
            self._methods.add(method)
        named = method if method in self._methods else ""
        tags = make_tags(endpoint=endpoint, rpc_method=named, error=error)
        recorder = self._recorder
        return _Calls(
            recorder.counter("evm_rpc_reqs", tags),
            recorder.rate("evm_rpc_failed", tags),
            recorder.trend("evm_rpc_duration", tags),
            recorder.counter("evm_rpc_errors", tags) if error else None,
        )


class FundingMeters:
    """Counts what goes into wallets, and what that and giving it back costs.

    Args:
        recorder: Where measurements go.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._filled = recorder.counter("evm_wallets_funded")
        self._given = recorder.counter("evm_funding_spent")
        self._fees = recorder.counter("evm_funding_fees")
        self._seen: dict[Funds, tuple[int, int, int]] = {}

    def account(self, funds: Funds) -> None:
        """Bring the counters up to date; those of the load and those of teardown count together."""
        totals = [each.filler.totals for each in funds.wallets.values() if each.filler is not None]
        filled, given = sum(each.filled for each in totals), sum(each.given for each in totals)
        self._seen[funds] = filled, given, funds.fees_paid
        self._filled.value = sum(each[0] for each in self._seen.values())
        self._given.value = sum(each[1] for each in self._seen.values()) * _WEI
        self._fees.value = sum(each[2] for each in self._seen.values()) * _WEI


class TxMeters(Sink):
    """Counts the transactions of one step in one stage.

    Args:
        recorder: Where measurements go.
        tags: Of the step and the stage.
        allow_revert: Whether one that was reverted is no failure.
        wall: What the clock of transactions lacks to the time since 1970, in seconds.
    """

    __slots__ = (
        "_accept", "_allow_revert", "_confirmation", "_delay", "_failed", "_fees", "_gaps", "_gas", "_inclusion", "_per_tx",
        "_recorder", "_replaced", "_sent", "_tags", "_wall",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, tags: Tags, *, allow_revert: bool, wall: float) -> None:
        self._recorder = recorder
        self._tags = tags
        self._allow_revert = allow_revert
        self._wall = wall
        self._sent: CounterSeries = recorder.counter("evm_txs", tags)
        self._failed: RateSeries = recorder.rate("evm_tx_failed", tags)
        self._accept: TrendSeries = recorder.trend("evm_tx_accept_duration", tags)
        self._inclusion: TrendSeries = recorder.trend("evm_tx_inclusion_duration", tags)
        self._delay: TrendSeries = recorder.trend("evm_tx_block_delay", tags)
        self._confirmation: TrendSeries = recorder.trend("evm_tx_confirmation_duration", tags)
        self._gas: CounterSeries = recorder.counter("evm_gas_used", tags)
        self._per_tx: TrendSeries = recorder.trend("evm_gas_used_per_tx", tags)
        self._fees: CounterSeries = recorder.counter("evm_fees", tags)
        self._replaced: CounterSeries = recorder.counter("evm_tx_replaced", tags)
        self._gaps: CounterSeries = recorder.counter("evm_nonce_gaps", tags)

    def sent(self) -> None:
        """See `Sink`."""
        self._sent.value += 1

    def accepted(self, seconds: float) -> None:
        """See `Sink`."""
        self._accept.add(seconds)

    def included(self, sent: Sent, landing: Any) -> None:
        """See `Sink`."""
        self._inclusion.add(max(0.0, landing.seen - sent.submitted))
        self._delay.add(max(0.0, landing.block_timestamp - sent.submitted - self._wall))
        self._gas.value += landing.gas_used
        self._per_tx.add(landing.gas_used)
        self._fees.value += landing.gas_used * landing.gas_price * _WEI
        if sent.failure is not None:
            return  # it was counted as failed, when its time was over
        bad = landing.status != 1 and not self._allow_revert
        self._failed.add(hit=bad)
        if bad:
            self._error(_REVERTED)

    def confirmed(self, sent: Sent, landing: Any) -> None:
        """See `Sink`."""
        self._confirmation.add(max(0.0, landing.confirmed - sent.submitted))

    def failed(self, kind: Kind) -> None:
        """See `Sink`."""
        self._failed.add(hit=True)
        self._error(kind.value)

    def replaced(self) -> None:
        """See `Sink`."""
        self._replaced.value += 1

    def gap(self) -> None:
        """See `Sink`."""
        self._gaps.value += 1

    def _error(self, error: str) -> None:
        tags = make_tags(own=self._tags, error=error)
        self._recorder.counter("evm_tx_errors", tags).value += 1
