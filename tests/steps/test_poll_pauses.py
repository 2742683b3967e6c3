"""However a manifest words it, polling is never a loop without a pause."""

from random import Random

import pytest

from squall.spec.steps import Poll
from squall_runner.steps.poll import pauses


@pytest.mark.parametrize(
    "pause",
    [
        {"interval": "0s"},
        {"interval": "10ms", "backoff": {"factor": "0"}},
        {"interval": "1s", "backoff": {"factor": "0.5"}},
        {"interval": "1s", "backoff": {"max": "1us"}},
        {"interval": "10ms", "backoff": {"jitter": "100%"}},
    ],
)
def test_no_pause_is_shorter_than_the_shortest(pause):
    between = pauses(Poll.model_validate({"http": {"url": "/"}, "until": "false", **pause}))
    rng = Random(1)
    assert min(between(number, rng) for number in range(1, 300)) == 0.01


def test_longer_pauses_are_what_the_manifest_says():
    backoff = {"factor": "2", "max": "100ms"}
    poll = {"http": {"url": "/"}, "until": "false", "interval": "20ms", "backoff": backoff}
    between = pauses(Poll.model_validate(poll))
    assert [between(number, Random(1)) for number in (1, 2, 3, 4)] == [0.02, 0.04, 0.08, 0.1]
