"""However many runners speak at once, others get their turn in between, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count, pairwise

from squall.hub.turns import SECONDS, Turns


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
