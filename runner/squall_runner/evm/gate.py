"""What stands between the load and the node: after a stop nothing of it goes out, whoever still holds a reference.

A stop has to hold from the moment it is said. Steps look at their VU's flag, but accounts and fillers work on their own, and
between two calls of a step anything may have happened. So all of them call through a gate, which closes with the load. It also knows when
the last call was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall_runner.evm.node.failures import Kind, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall_runner.engine.control import Control
    from squall_runner.evm.node.rpc import Rpc


class Gate:
    """Calls through `rpc` as long as the load may go on.

    Args:
        rpc: Who calls.
        control: The state of the load.
        clock: Seconds, monotonic; the clock of `control`.
    """

    __slots__ = ("_clock", "_control", "_open", "rpc")

    def __init__(self, rpc: Rpc, control: Control, clock: Callable[[], float]) -> None:
        self.rpc = rpc
        self._control = control
        self._clock = clock
        self._open = False

    def open(self) -> None:
        """Teardown begins: calls go out although the load was stopped."""
        self._open = True

    async def call(self, method: str, params: Sequence[Any] = (), **options: Any) -> Any:
        """As `Rpc.call`.

        Raises:
            RpcError: As there; also when the load has ended.
        """
        await self._pass(method)
        return await self.rpc.call(method, params, **options)

    async def send_raw(self, raw: str, tx_hash: str, **options: Any) -> str:
        """As `Rpc.send_raw`; raises likewise."""
        await self._pass("eth_sendRawTransaction")
        return await self.rpc.send_raw(raw, tx_hash, **options)

    async def _pass(self, method: str) -> None:
        control = self._control
        if self._open:
            return
        now = self._clock()
        if now - control.beat > control.standstill:
            await control.thaw()
        if control.stopped:
            raise RpcError(Kind.STOPPED, "the load was stopped, so nothing is sent any more", method=method)
        control.last_request = now
