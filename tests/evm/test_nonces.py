"""Nonces and places: none is given out twice, none is left out."""

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from squall_runner.evm.sending.nonces import Nonces
from squall_runner.evm.sending.slots import Slots


class NoncesAndChain(RuleBasedStateMachine):
    """Takes, gives back, and a chain that goes on, in any order."""

    def __init__(self):
        super().__init__()
        self.nonces = Nonces(5)
        self.held: set[int] = set()
        self.used = 5

    @rule()
    def take(self):
        expected = self.nonces.nth(0), self.nonces.nth(1)
        nonce = self.nonces.take()
        assert nonce == expected[0]
        assert self.nonces.nth(0) == expected[1]
        assert nonce not in self.held
        assert nonce >= self.used
        self.held.add(nonce)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data):
        nonce = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(nonce)
        self.nonces.give_back(nonce)
        self.nonces.give_back(nonce)

    @precondition(lambda self: self.nonces.free)
    @rule(data=st.data())
    def claim(self, data):
        nonce = data.draw(st.sampled_from(self.nonces.free))
        assert self.nonces.claim(nonce)
        assert not self.nonces.claim(nonce)
        self.held.add(nonce)

    @rule(steps=st.integers(0, 4))
    def advance(self, steps):
        self.used += steps
        self.nonces.advance(self.used)
        self.held = {nonce for nonce in self.held if nonce >= self.used}

    @invariant()
    def each_is_held_or_free_or_used(self):
        whole = range(self.used, self.nonces.end)
        assert sorted({*self.held, *self.nonces.free}) == list(whole)
        assert not self.held.intersection(self.nonces.free)


TestNonces = NoncesAndChain.TestCase


@pytest.mark.looptime
async def test_places_go_to_who_came_first_and_who_gives_up_takes_none():
    slots, went = Slots(2), []

    async def come(name):
        await slots.turn(100)
        went.append(name)

    work = [asyncio.create_task(come(name)) for name in "abcde"]
    await asyncio.sleep(1)
    assert (went, slots.used, slots.waiting) == (["a", "b"], 2, 3)
    assert not slots.take(), "there is a line"
    work[2].cancel()
    slots.release()
    await asyncio.sleep(1)
    assert (went, slots.waiting) == (["a", "b", "d"], 1)
    slots.release()
    slots.release()
    slots.release()
    await asyncio.gather(*work, return_exceptions=True)
    assert (went, slots.used) == (["a", "b", "d", "e"], 0)


@pytest.mark.looptime
async def test_who_is_cancelled_when_its_turn_has_come_passes_it_on():
    slots = Slots(1)
    assert slots.take()
    first, second = asyncio.create_task(slots.turn(100)), asyncio.create_task(slots.turn(100))
    await asyncio.sleep(1)
    slots.release()
    first.cancel()
    await asyncio.wait([first, second])
    assert (first.cancelled(), second.exception(), slots.used) == (True, None, 1)


@pytest.mark.looptime
async def test_a_turn_that_does_not_come_in_time():
    slots = Slots(1)
    assert slots.take()
    with pytest.raises(TimeoutError):
        await slots.turn(3)
    assert (slots.used, slots.waiting) == (1, 0)
    slots.release()
    assert slots.take()
