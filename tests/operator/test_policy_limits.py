"""What policies allow: each limit, the queue, and that whatever is not understood allows nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_operator.checked import check
from squall_operator.model import Allowance
from squall_operator.policies import Facts, Unreadable, allow, read
from squall_operator.settings import RunnerDefaults

STEPS = [{"http": {"url": "/"}}, {"http": {"url": "https://pay.test.example:8443/x"}}]


def load_test(**spec: Any) -> dict[str, Any]:
    scenario = {"name": "s", "executor": "constant-vus", "vus": 10, "duration": "1m", "steps": STEPS}
    base = {"http": {"baseUrl": "http://shop.test.example"}, "scenarios": [scenario]}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "shop", "namespace": "team-a"},
        "spec": {**base, **spec},
    }


def facts(**spec: Any) -> Facts:
    checked = check(load_test(**spec), RunnerDefaults(image="registry.example/runner:1"))
    assert checked.problems == ()
    assert checked.facts is not None
    return checked.facts


def allowed(policy: dict[str, Any], of: Facts | None = None, **labels: str) -> Allowance:
    policies = {"p": read({"spec": policy})}
    return allow(policies, "team-a", labels, of or facts(), active=(), before=())


TEMPLATE = {
    "spec": {
        "hostAliases": [{"ip": "10.9.9.9", "hostnames": ["shop.test.example"]}],
        "dnsConfig": {"nameservers": ["10.8.8.8"]},
        "containers": [{"name": "side", "image": "evil/side"}],
    }
}


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"maxShards": 0}, "1 shards"),
        ({"maxVUs": 9}, "10 VUs are more than the 9"),
        ({"maxDuration": "59s"}, "60 s are longer"),
        ({"allowedHosts": ["shop.test.example"]}, "pay.test.example"),
        ({"allowedHosts": []}, "no hosts"),
        ({"images": ["other/*"]}, "registry.example/runner:1 is not allowed"),
        ({"requiredLabels": ["team"]}, "the label team is required"),
        ({"namespaces": ["team-*"], "maxVUs": 1}, "10 VUs"),
    ],
)
def test_each_limit(policy: dict[str, Any], says: str) -> None:
    assert any(says in text for text in allowed(policy).violations)
    assert all(text.endswith("(LoadTestPolicy p)") for text in allowed(policy).violations)


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"maxShards": 1, "maxVUs": 10, "maxRate": 1, "maxDuration": "1m"},
        {"allowedHosts": ["*.test.example"]},
        {"allowedHosts": ["10.0.0.0/8"]},  # where the names lead is seen by the runner
        {"images": ["registry.example/*"]},
        {"namespaces": ["team-b"], "maxVUs": 0, "halt": True},
    ],
)
def test_what_keeps_the_limits_is_allowed(policy: dict[str, Any]) -> None:
    found = allowed(policy)
    assert (found.violations, found.halted, found.ahead) == ((), "", 0)


def test_a_template_cannot_lead_names_elsewhere_or_bring_other_images() -> None:
    found = facts(runner={"template": TEMPLATE})
    hosts = allowed({"allowedHosts": ["*.test.example"]}, found).violations
    assert [any(address in text for text in hosts) for address in ("10.9.9.9", "10.8.8.8")] == [True, True]
    searched = facts(runner={"template": {"spec": {"dnsConfig": {"searches": ["evil.example."]}}}})
    assert "evil.example:" in allowed({"allowedHosts": ["*.test.example"]}, searched).violations[0]
    assert "evil/side" in allowed({"images": ["registry.example/*"]}, found).violations[0]


def test_runners_are_told_the_hosts_of_every_policy() -> None:
    policies = {
        "a": read({"spec": {"allowedHosts": ["*.example"]}}),
        "b": read({"spec": {"allowedHosts": ["10.0.0.0/8"]}}),
        "c": read({"spec": {"maxVUs": 100}}),
        "d": read({"spec": {"namespaces": ["team-b"], "allowedHosts": ["nowhere"]}}),
    }
    found = allow(policies, "team-a", {}, facts(), active=(), before=())
    assert found.hosts == (("*.example",), ("10.0.0.0/8",))


def test_halt_names_its_policy() -> None:
    assert allowed({"halt": True}).halted == "p"


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        ({"maxVUs": "many"}, True),
        ({"aLimitOfLater": 3}, True),
        (None, True),
        ({"namespaces": ["team-a"], "maxVUs": -1}, True),
        ({"namespaces": ["team-b"], "maxVUs": -1}, False),
        ({"namespaces": 7}, True),
    ],
)
def test_a_policy_that_is_not_understood_allows_nothing_where_it_applies(spec: Any, selected: bool) -> None:
    policy = read({"spec": spec} if spec is not None else {})
    assert isinstance(policy, Unreadable)
    found = allow({"p": policy}, "team-a", {}, facts(), active=(), before=())
    assert bool(found.violations) is selected
    assert all("p is not understood" in text for text in found.violations)


@given(
    limits=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([None, ["team-a"], ["team-*"]])), max_size=3
    ),
    arrivals=st.lists(st.sampled_from(["team-a", "team-b"]), min_size=1, max_size=12),
    data=st.data(),
)
def test_no_order_of_looks_admits_more_than_the_limit(
    limits: list[tuple[int, list[str] | None]], arrivals: list[str], data: st.DataObject
) -> None:
    policies = {
        f"p{number}": read({"spec": {"maxConcurrentRuns": limit, **({"namespaces": names} if names else {})}})
        for number, (limit, names) in enumerate(limits)
    }
    waiting, active = list(enumerate(arrivals)), list[tuple[int, str]]()
    for _ in range(30):
        if active and (not waiting or data.draw(st.booleans())):
            active.pop(data.draw(st.integers(0, len(active) - 1)))
        if waiting:
            each = waiting[data.draw(st.integers(0, len(waiting) - 1))]
            before = tuple(name for number, name in waiting if number < each[0])
            found = allow(policies, each[1], {}, None, active=tuple(n for _, n in active), before=before)
            if not found.ahead:
                waiting.remove(each)
                active.append(each)
        for limit, names in limits:
            there = [n for _, n in active if not names or n == "team-a" or names == ["team-*"]]
            assert len(there) <= limit


LIMITS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([None, ["team-a"], ["team-b"], ["team-a", "team-b"]])),
    max_size=4,
)


@given(limits=LIMITS, teams=st.lists(st.sampled_from(["team-a", "team-b", "team-c"]), max_size=12))
def test_nobody_waits_for_a_place_that_is_free(
    limits: list[tuple[int, list[str] | None]], teams: list[str]
) -> None:
    policies = {
        f"p{number}": read({"spec": {"maxConcurrentRuns": limit, **({"namespaces": names} if names else {})}})
        for number, (limit, names) in enumerate(limits)
    }
    waiting, active, admitted = teams, list[str](), True
    while admitted:
        admitted = False
        for number, team in enumerate(waiting):
            found = allow(policies, team, {}, None, active=active, before=waiting[:number])
            if not found.ahead:
                waiting = waiting[:number] + waiting[number + 1 :]
                active, admitted = [*active, team], True
                break
    for team in waiting:
        own = [(limit, names) for limit, names in limits if not names or team in names]
        assert any(sum(not names or each in names for each in active) >= limit for limit, names in own)


def test_who_waits_for_a_limit_of_another_team_is_in_nobodys_way() -> None:
    """Else one team whose runs wait, for hours or for good, would keep all others from theirs."""
    policies = {
        "all": read({"spec": {"maxConcurrentRuns": 2}}),
        "closed": read({"spec": {"maxConcurrentRuns": 0, "namespaces": ["team-a"]}}),
        "one": read({"spec": {"maxConcurrentRuns": 1, "namespaces": ["team-b"]}}),
    }

    def ahead(team: str, *, active: list[str], before: list[str]) -> int:
        return allow(policies, team, {}, None, active=active, before=before).ahead

    assert ahead("team-c", active=[], before=["team-a"] * 5) == 0
    assert ahead("team-c", active=["team-b"], before=["team-b"] * 5) == 0
    assert ahead("team-c", active=[], before=["team-b"] * 5) == 0, "one of them comes first, and two may run"
    assert ahead("team-c", active=["team-c"], before=["team-b"] * 5) == 1
    assert ahead("team-b", active=["team-c"], before=["team-b"] * 5) == 5, "in a queue of its own it waits"


def receiver(*, per_shard: bool) -> dict[str, Any]:
    url = "https://mimir.test.example/api/v1/push"
    return {"outputs": {"prometheus": {"remoteWriteUrl": url, "perShard": per_shard}}}


def test_runners_push_only_to_hosts_that_are_allowed() -> None:
    assert "mimir.test.example" in facts(**receiver(per_shard=True)).hosts
    assert "mimir.test.example" not in facts(**receiver(per_shard=False)).hosts


def test_an_output_that_does_nothing_on_a_cluster_is_said() -> None:
    defaults = RunnerDefaults(image="registry.example/runner:1")
    for per_shard in (False, True):
        plan = check(load_test(**receiver(per_shard=per_shard)), defaults).plan
        assert plan is not None
        assert any("is for one machine" in text for text in plan.warnings) is not per_shard


def test_load_goes_to_endpoints_of_a_chain_only_where_it_may() -> None:
    endpoint = {
        "name": "node",
        "url": "https://rpc.test.example/key",
        "webSocket": "wss://news.test.example",
        "headers": {"Origin": "https://not-a-target.example"},
    }
    step = {"evm": {"rpc": {"method": "eth_call", "params": [{"url": "https://argument.example"}]}}}
    scenario = {"name": "s", "executor": "constant-vus", "vus": 1, "duration": "1m", "steps": [step]}
    found = facts(evm={"endpoints": [endpoint]}, scenarios=[scenario])
    assert {"rpc.test.example", "news.test.example"} <= set(found.hosts)
    assert not {"not-a-target.example", "argument.example"} & set(found.hosts)
    (violation,) = allowed({"allowedHosts": ["rpc.test.example", "shop.test.example"]}, found).violations
    assert "load may not go to news.test.example" in violation
