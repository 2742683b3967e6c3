"""What watches have shown: old news change nothing, and a new object of the same name is another one."""

from typing import Any

from squall_operator import cache
from squall_operator.cache import Cache
from squall_operator.manifests.owned import RUN


def made(version: int, *, uid: str = "u1", name: str = "shop", **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, **more}


PLACE = ("default", "shop")


def test_old_news_of_a_watch_do_not_hide_what_was_written_since() -> None:
    seen = Cache()
    seen.put(cache.LOAD_TESTS, made(7, status={"phase": "Running"}))
    seen.put(cache.LOAD_TESTS, made(6, status={}))
    assert seen.get(cache.LOAD_TESTS, PLACE) == made(7, status={"phase": "Running"})
    seen.put(cache.LOAD_TESTS, made(10, status={"phase": "Passed"}))  # 10 is more than 7, as text it is not
    assert seen.get(cache.LOAD_TESTS, PLACE) == made(10, status={"phase": "Passed"})


def test_the_end_of_a_former_one_does_not_take_the_new_one_away() -> None:
    seen = Cache()
    seen.put(cache.LOAD_TESTS, made(7, uid="new"))
    seen.drop(cache.LOAD_TESTS, made(6, uid="old"))
    assert seen.get(cache.LOAD_TESTS, PLACE) is not None
    seen.drop(cache.LOAD_TESTS, made(8, uid="new"))
    assert seen.get(cache.LOAD_TESTS, PLACE) is None
    assert list(seen.all(cache.LOAD_TESTS)) == []


def test_pods_are_found_by_their_run() -> None:
    seen = Cache()
    pods = [made(number, name=f"pod-{number}") for number in range(3)]
    for number, pod in enumerate(pods):
        pod["metadata"]["labels"] = {RUN: f"run-{number % 2}"}
        seen.put(cache.PODS, pod)
    assert seen.pods_of("default", "run-0") == (pods[0], pods[2])
    seen.drop(cache.PODS, pods[0])
    assert seen.pods_of("default", "run-0") == (pods[2],)
    assert seen.pods_of("elsewhere", "run-0") == ()
