"""The operator makes and deletes Secrets and never asks what is in one: it has no right to."""

from __future__ import annotations

from typing import Any

import pytest

from squall.kube.api import KubeError
from squall_operator.acting import Actor


class Server:
    """An API server that has everything already, as after an operator that died during a launch."""

    def __init__(self, *, deleting: bool) -> None:
        self.deleting = deleting
        self.asked: list[str] = []

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(f"POST {path}")
        raise KubeError(409, f"{body['metadata']['name']} exists", "AlreadyExists")

    async def get(self, path: str) -> dict[str, Any]:
        self.asked.append(f"GET {path}")
        return {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"} if self.deleting else {}}


def actor(server: Server) -> Actor:
    return Actor(server, None, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("deleting", [False, True])
async def test_a_secret_that_is_there_is_taken_as_it_is(deleting: bool) -> None:
    server = Server(deleting=deleting)
    await actor(server)._make("team", {"kind": "Secret", "metadata": {"name": "shop-1"}})
    assert server.asked == ["POST /api/v1/namespaces/team/secrets"]


async def test_another_object_that_is_going_is_waited_for() -> None:
    server = Server(deleting=True)
    with pytest.raises(KubeError, match="exists"):
        await actor(server)._make("team", {"kind": "Job", "metadata": {"name": "shop-1"}})
    assert server.asked[-1] == "GET /apis/batch/v1/namespaces/team/jobs/shop-1"
    await actor(Server(deleting=False))._make("team", {"kind": "Job", "metadata": {"name": "shop-1"}})
