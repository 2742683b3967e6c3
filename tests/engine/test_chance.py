import sys
from random import Random

from squall_runner.engine.chance import chance


def test_it_draws_what_random_draws_in_any_mixture():
    lazy, eager = chance("run/7/a"), Random("run/7/a")
    for _ in range(3):
        assert lazy.random() == eager.random()
        assert lazy.randint(1, 1000) == eager.randint(1, 1000)
        assert lazy.choices("abcdef", k=4) == eager.choices("abcdef", k=4)
        assert lazy.getrandbits(128) == eager.getrandbits(128)


def test_the_first_draw_may_be_any():
    assert chance("s").randrange(10**9) == Random("s").randrange(10**9)
    assert chance("s").random() == Random("s").random()


def test_it_is_small_until_it_is_used():
    assert sys.getsizeof(chance("s")) < 100
    assert sys.getsizeof(Random("s")) > 2000
