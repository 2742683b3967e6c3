"""Fills wallets ahead of their use: what streams money from one account to many, while users come and take their wallets.

Filling all wallets of a run first would keep it waiting for minutes, and filling each when it is needed would keep every user waiting
for a block. So a task looks ahead: the wallets that are taken next are looked at, many in one call, and those that have too little
are filled, many in one transaction. Users who wait already come first, in their order. What is on the chain is all that it
relies on: a wallet that has enough, whoever filled it, costs nothing, and a runner that comes back looks again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall.plan.funding import BATCH_GAS, FILL_GAS, TRANSFER_GAS
from squall.spec.amounts import native_text
from squall_runner.evm.money import multicall
from squall_runner.evm.money.fillrules import Totals, batch_size
from squall_runner.evm.money.paying import FundingError
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.outgoing import Call, SendError
from squall_runner.evm.signing.keys import checksummed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from squall_runner.evm.money.balances import Balances
    from squall_runner.evm.money.fillrules import Rules, Target
    from squall_runner.evm.money.paying import Payer

PAY_SECONDS: Final = 60.0
"""How long a batch may be on its way before somebody is told. Its wallets wait on: they must not be paid twice."""
AGAIN_SECONDS: Final = 1.0
"""Until the next try, after a node has failed or while the payer is short of money."""


class Filler:
    """Fills, from one account, whoever is going to be used.

    Args:
        payer: The account that pays, used by nobody else.
        look: Reads balances.
        target: Who a number stands for.
        upcoming: The numbers that are used next.
        rules: How.
        block_gas: What a block holds now.
        clock: Seconds, monotonic.
        note: `note(level, event, **fields)`: something for the run's log.
        changed: Called when somebody was filled or found filled.
        before: Is waited for before the first look.

    Attributes:
        totals: What was done so far.
        full: Who has enough, as far as known.
    """

    def __init__(
        self,
        payer: Payer,
        look: Balances,
        *,
        target: Callable[[int], Target],
        upcoming: Callable[[], Sequence[int]],
        rules: Rules,
        block_gas: Callable[[], int],
        clock: Callable[[], float],
        note: Callable[..., None],
        changed: Callable[[], None] = lambda: None,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.totals = Totals()
        self.full: set[int] = set()
        self._payer = payer
        self._look = look
        self._target = target
        self._upcoming = upcoming
        self._rules = rules
        self._block_gas = block_gas
        self._clock = clock
        self._note = note
        self._changed = changed
        self._before = before
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._busy: set[int] = set()
        self._used: set[int] = set()
        self._alone: set[int] = set()
        self._refusing: dict[int, FundingError] = {}
        self._reserved = 0
        self._batches: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._started = clock()
        self._seen_money = False
        self._dry = False
        self._troubled = False
        self._defect: Exception | None = None
        self._ended: FundingError | None = None

    # -- for users --------------------------------------------------------------------------------------------

    def taken(self) -> None:
        """Somebody was taken: others are next."""
        self._wake.set()

    def used(self, number: int) -> None:
        """Somebody was used and may be used again, with less than before."""
        if self._rules.refill_below is not None and number in self.full:
            self.full.discard(number)
            self._used.add(number)
            self._wake.set()

    def short(self, number: int) -> None:
        """Somebody had too little for a transaction, however much it was: filled when used again."""
        if self._rules.refill_below is not None:
            self.full.discard(number)

    async def ready(self, number: int) -> None:
        """Wait until somebody has enough.

        Raises:
            FundingError: It was not filled: there is no money, it took too long, or it takes none.
        """
        if number in self.full:
            return
        if number in self._refusing:
            raise self._refusing[number]
        waited = self._wait_for(number)
        try:
            async with asyncio.timeout(self._rules.wait):
                await asyncio.shield(waited)
        except TimeoutError:
            message = f"{self._name(number)} was not filled within {self._rules.wait:g} s"
            hint = (
                "raise spec.evm.funding.ahead, batch or wait, or fill wallets before with `squall evm fund`"
            )
            raise FundingError("funding_timeout", message, hint) from None

    async def fill(self, numbers: Sequence[int]) -> None:
        """Wait, however long it takes, until all of them have enough.

        Raises:
            FundingError: One of them cannot be filled.
        """
        await asyncio.gather(*[asyncio.shield(self._wait_for(n)) for n in numbers if n not in self.full])

    def _wait_for(self, number: int) -> asyncio.Future[None]:
        waiter = self._waiting.get(number)
        if waiter is None:
            waiter = self._waiting[number] = asyncio.get_running_loop().create_future()
            waiter.add_done_callback(_heard)
            if self._ended is not None:
                self._give_up([number], self._ended)
        self._wake.set()
        return waiter

    # -- the task ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fill until cancelled; what is on its way then has been sent, and is not waited for."""
        ended = FundingError("funding_failed", "filling has ended")
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody must wait in vain
            message = f"wallets are not filled any more, which is a defect: {type(error).__name__}: {error}"
            self._note("error", "FundingEnded", message=message)
            ended = FundingError("funding_failed", message)
        finally:
            for task in self._batches:
                task.cancel()
            await asyncio.gather(*self._batches, return_exceptions=True)
            self._ended = ended
            self._give_up(self._waiting, ended)

    async def _run(self) -> None:
        if self._before is not None:
            await self._before()
        while True:
            self._wake.clear()
            pause = await self._pass()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue
            if self._defect is not None:
                raise self._defect

    async def _pass(self) -> float | None:
        """Look at who is next and fill; returns the seconds after which to try again, None to wait until something happens."""
        numbers = self._next()
        if not numbers:
            return None
        try:
            price = await self._payer.price()
            targets = [self._target(number) for number in numbers]
            *found, own = await self._look.of([*(t.address for t in targets), self._payer.address])
        except RpcError as error:
            self._trouble(error)
            await asyncio.sleep(AGAIN_SECONDS)
            return 0.0
        self._troubled = False
        short = self._found(numbers, targets, found)
        self._seen_money = self._seen_money or own > 0
        return self._share_out(short, own, price)

    def _next(self) -> list[int]:
        """Whom to look at: who waits, then who comes next; no more than can be filled at once."""
        rules = self._rules
        free = rules.max_pending - len(self._batches)
        if free <= 0:
            return []
        most = min(free * self._batch_size(), multicall.BALANCES_PER_CALL - 1)
        chosen: dict[int, None] = {}
        sources = [self._waiting] if self._dry else [self._waiting, self._used, self._ahead()]
        for number in (number for source in sources for number in source):
            if self._is_open(number):
                chosen[number] = None
                if len(chosen) == most:
                    break
        return list(chosen)

    def _ahead(self) -> Sequence[int]:
        """Who comes next; nobody while the first half of them has enough, so that batches are not of one each."""
        upcoming = self._upcoming()
        first = upcoming[: len(upcoming) // 2 + 1]
        return upcoming if any(self._is_open(number) for number in first) else ()

    def _is_open(self, number: int) -> bool:
        return number not in self.full and number not in self._busy and number not in self._refusing

    def _found(
        self, numbers: Sequence[int], targets: Sequence[Target], found: Sequence[int]
    ) -> list[tuple[int, bytes, int]]:
        """Who has too little: number, address, and what is missing. The others are ready."""
        short = []
        below = self._rules.refill_below
        for number, target, balance in zip(numbers, targets, found, strict=True):
            enough = below if below is not None and number in self._used else target.amount
            if balance >= enough:
                self._filled(number)
            else:
                short.append((number, target.address, target.amount - balance))
        return short

    def _share_out(self, short: list[tuple[int, bytes, int]], own: int, price: int) -> float | None:
        """Begin as many batches as there is room and money for."""
        left = own - self._reserved
        while short and len(self._batches) < self._rules.max_pending:
            size = 1 if short[0][0] in self._alone else self._batch_size()
            batch = short[:size]
            while batch and self._cost(batch, price) > left:
                batch = batch[:-1]
            if not batch:
                break
            short = short[len(batch) :]
            cost = self._cost(batch, price)
            left -= cost
            self._begin(batch, cost)
        if short and not self._batches:
            return self._out_of_money(short, own, price)
        if not short and self._dry:
            self._dry = False
            self._note("info", "FunderHasMoney", address=checksummed(self._payer.address))
        return AGAIN_SECONDS if short else None

    @property
    def _contract(self) -> bytes | None:
        return self._look.contract if self._rules.batch > 1 else None

    def _batch_size(self) -> int:
        if self._contract is None:
            return 1
        return batch_size(self._rules.batch, self._block_gas())

    def _gas(self, wallets: int) -> int:
        """The most gas of a batch."""
        if self._contract is None:
            return TRANSFER_GAS
        return BATCH_GAS + FILL_GAS * wallets

    def _cost(self, batch: Sequence[tuple[int, bytes, int]], price: int) -> int:
        return sum(value for _, _, value in batch) + self._gas(len(batch)) * price * 3 // 2

    def _begin(self, batch: Sequence[tuple[int, bytes, int]], cost: int) -> None:
        self._busy.update(number for number, _, _ in batch)
        self._reserved += cost
        task = asyncio.create_task(self._fill(batch))
        self._batches.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            self._batches.discard(task)
            if not task.cancelled():
                error = task.exception()
                self._defect = error if isinstance(error, Exception) else self._defect
            self._reserved -= cost
            self._busy.difference_update(number for number, _, _ in batch)
            self._wake.set()

        task.add_done_callback(ended)

    async def _fill(self, batch: Sequence[tuple[int, bytes, int]]) -> None:
        given = sum(value for _, _, value in batch)
        if self._contract is None:
            call = Call(batch[0][1], value=given)
        else:
            through = self._contract if self._look.lasting else None
            to, data = multicall.payment([(to, value) for _, to, value in batch], through)
            call = Call(to, data, given)
        try:
            paid = await self._payer.pay(call, self._gas(len(batch)), PAY_SECONDS)
        except SendError as error:
            await self._not_filled(batch, error)
            return
        totals = self.totals
        totals.filled += len(batch)
        totals.given += given
        totals.spent += paid.cost
        totals.transactions += 1
        for number, _, _ in batch:
            self._filled(number)

    async def _not_filled(self, batch: Sequence[tuple[int, bytes, int]], error: SendError) -> None:
        """They are looked at again, and then filled or told; one that takes no money must not keep it from the others."""
        if error.kind is Kind.REVERTED:
            if len(batch) > 1:
                self._alone.update(number for number, _, _ in batch)
                return
            number = batch[0][0]
            message, hint = (
                f"{self._name(number)} takes no money: {error.message}",
                "is there code at its address?",
            )
            self._refusing[number] = FundingError("funding_failed", message, hint)
            self._give_up([number], self._refusing[number])
            return
        if error.kind is not Kind.INSUFFICIENT_FUNDS:  # the next look says what is missing
            self._trouble(error)
        await asyncio.sleep(AGAIN_SECONDS)

    # -- what comes of it -------------------------------------------------------------------------------------

    def _filled(self, number: int) -> None:
        self.full.add(number)
        self._used.discard(number)
        waiter = self._waiting.pop(number, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._changed()

    def _out_of_money(self, short: Sequence[tuple[int, bytes, int]], own: int, price: int) -> float:
        waited = self._clock() - self._started
        if not self._seen_money and waited < self._rules.patience:
            return AGAIN_SECONDS
        address = checksummed(self._payer.address)
        message = (
            f"the account {address} that fills wallets has {native_text(own)}, and the next wallet takes "
            f"{native_text(self._cost(short[:1], price))} with its gas"
        )
        hint = f"send more to {address}, or lower spec.evm.funding.amount"
        if not self._dry:
            self._dry = True
            self._note("error", "FunderOutOfMoney", message=f"{message}; {hint}", address=address)
        self._give_up([number for number, _, _ in short], FundingError("insufficient_funds", message, hint))
        return AGAIN_SECONDS

    def _give_up(self, numbers: Iterable[int], error: FundingError) -> None:
        for number in list(numbers):
            waiter = self._waiting.pop(number, None)
            if waiter is not None and not waiter.done():
                waiter.set_exception(FundingError(error.error, error.message, error.hint))

    def _trouble(self, error: Exception) -> None:
        """Say once that it does not go on, until it does again."""
        if not self._troubled:
            self._troubled = True
            self._note("warning", "FundingHeldUp", message=f"wallets cannot be filled just now: {error}")

    def _name(self, number: int) -> str:
        return f"the account {checksummed(self._target(number).address)}"


def _heard(waiter: asyncio.Future[None]) -> None:
    """Somebody may have stopped waiting before it failed."""
    if not waiter.cancelled():
        waiter.exception()
