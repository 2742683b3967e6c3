"""However many runners speak at once, others get their turn in between, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count, pairwise

from squall.hub.turns import REST, SECONDS, Rest, Turns


class Work:
    """Takes half of a round's time for each piece, in a time of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = Turns(lambda: self.now)
        self.done: list[int] = []

    async def piece(self, number: int) -> None:
        await self.turns.mine()
        self.now += SECONDS / 2
        self.done.append(number)


async def test_others_run_between_pieces_of_work() -> None:
    work, seen = Work(), []
    pieces = [asyncio.create_task(work.piece(number)) for number in range(10)]
    for _ in count():
        seen.append(len(work.done))
        if all(piece.done() for piece in pieces):
            break
        await asyncio.sleep(0)
    assert max(b - a for a, b in pairwise(seen)) == 2
    assert work.done == list(range(10))


async def test_work_that_fits_into_a_round_does_not_wait() -> None:
    work = Work()
    turn = work.piece(0)
    with suppress(StopIteration):
        turn.send(None)
    assert work.done == [0]


async def test_a_slow_piece_ends_its_round_only() -> None:
    work = Work()
    await work.piece(0)
    work.now += 10 * SECONDS
    async with asyncio.timeout(5):
        await asyncio.gather(*(work.piece(number) for number in range(1, 4)))
    assert work.done == [0, 1, 2, 3]


async def test_a_run_whose_pieces_are_long_rests_for_longer_than_they_took() -> None:
    now = 100.0
    rest = Rest(lambda: now)
    rest.took(SECONDS)
    await asyncio.wait_for(rest.over(), 5)
    rest.took(1.0)
    waiting = asyncio.create_task(rest.over())
    now += REST / 2
    await asyncio.sleep(0)
    assert not waiting.done()
    rest.took(1.0)
    now += REST
    await asyncio.sleep(0)
    assert not waiting.done(), "what was added while it waited counts too"
    waiting.cancel()
    now += REST
    await asyncio.wait_for(rest.over(), 5)
