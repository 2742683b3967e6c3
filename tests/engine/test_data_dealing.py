"""Rows are dealt to the shards that use them: every row is used, and none twice."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from support.driving import assignment, drive, manifest, target

from squall.plan.data import data_share, uses_data
from squall_runner.engine.manifest import read_manifest

ROWS = "id\n" + "\n".join(str(number) for number in range(12)) + "\n"


def placed(name, shards, url="/${data.users.id}", **fields):
    scenario = {"name": name, "executor": "per-vu-iterations", "vus": 6, "iterations": 20}
    return {**scenario, "placement": {"shards": shards}, "steps": [{"http": {"url": url}}], **fields}


def whole(url, scenarios, shards):
    spec = {
        "shards": shards,
        "files": [{"name": "users.csv", "inline": ROWS}],
        "data": [{"name": "users", "csv": "users.csv", "order": "unique"}],
        "scenarios": scenarios,
    }
    return manifest(url, [], spec=spec)


async def asked(scenarios, tmp_path, shards=4):
    """Which rows were asked for, and how often."""
    path = tmp_path / "users.csv"
    path.write_text(ROWS)
    async with target() as server:
        everywhere = tuple(range(shards))
        await drive(whole(server.url, scenarios, shards), shards=everywhere, files={"users.csv": path})
    return Counter(path.rpartition("/")[2] for path in server.paths() if path != "/other")


EACH_ONCE = Counter(str(number) for number in range(12))


async def test_rows_go_to_the_shards_of_the_scenario_that_uses_them(tmp_path):
    assert await asked([placed("a", "2-3"), placed("b", "1,4", "/other")], tmp_path) == EACH_ONCE


async def test_scenarios_in_different_places_share_the_rows(tmp_path):
    assert await asked([placed("a", "1-2"), placed("b", "2,4")], tmp_path) == EACH_ONCE


async def test_a_scenario_with_fewer_vus_than_shards_uses_all_rows(tmp_path):
    assert await asked([placed("a", "1-4", vus=2)], tmp_path) == EACH_ONCE


@given(
    places=st.lists(st.sets(st.integers(1, 5), min_size=1), min_size=1, max_size=3),
    uses=st.lists(st.booleans(), min_size=3, max_size=3),
    vus=st.integers(1, 6),
)
def test_the_shares_of_data_are_those_of_its_users(places, uses, vus):
    scenarios = [
        placed(f"s{n}", ",".join(map(str, place)), "/${data.users.id}" if used else "/x", vus=vus)
        for n, (place, used) in enumerate(zip(places, uses, strict=False))
    ]
    read = read_manifest(assignment(whole("http://h", scenarios, 5)))
    shares = [data_share(read.spec, read.plan, "users", shard) for shard in range(5)]
    users = {
        shard - 1 for place, used in zip(places, uses, strict=False) if used for shard in sorted(place)[:vus]
    }
    assert {shard for shard, share in enumerate(shares) if share is not None} == users
    owned = [row for share in shares if share for row in range(12) if share.owns(row)]
    assert sorted(owned) == (list(range(12)) if users else [])


def test_data_is_known_by_its_whole_name():
    read = read_manifest(assignment(whole("http://h", [placed("a", "1")], 1)))
    assert uses_data(read.spec.scenarios[0], "users")
    assert not uses_data(read.spec.scenarios[0], "user")
