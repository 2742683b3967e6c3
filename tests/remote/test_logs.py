"""Which pod's log belongs to which shard."""

import pytest

from squall.errors import UsageError
from squall.remote.logs import pod_of


def body(shards: int, per_pod: int | None) -> dict[str, object]:
    runner = {} if per_pod is None else {"runner": {"shardsPerPod": per_pod}}
    return {"spec": {"shards": shards, **runner}}


@pytest.mark.parametrize(
    ("shards", "per_pod", "pods"),
    [(1, None, [0]), (3, None, [0, 1, 2]), (4, 2, [0, 1, 0, 1]), (5, 5, [0, 0, 0, 0, 0])],
)
def test_each_shard_is_in_one_pod(shards: int, per_pod: int | None, pods: list[int]) -> None:
    assert [pod_of(body(shards, per_pod), shard) for shard in range(shards)] == pods


def test_a_shard_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="from 0 to 2"):
        pod_of(body(3, None), 3)
