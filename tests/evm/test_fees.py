"""Offers as EIP-1559 and nodes want them, and never above what the manifest allows."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.spec import structs
from squall_runner.evm.sending.fees import FeePolicy, Offer, fee_policy, offer, raised

GWEI = 10**9
amounts = st.integers(0, 10**12)
maybe = st.none() | amounts
policies = st.builds(
    FeePolicy,
    legacy=st.booleans(),
    max_fee=maybe,
    priority_fee=maybe,
    headroom=st.sampled_from([Fraction(1), Fraction("1.5"), Fraction(2)]),
    limit=maybe,
    bump=st.sampled_from([Fraction(1, 10), Fraction(15, 100), Fraction(1)]),
)


def test_a_manifest_is_read():
    fees = structs.Fees(
        type="legacy", max_fee="2 gwei", limit="3 gwei", headroom="1.5", replace_after="6s", bump="12.5%"
    )
    assert vars_of(fee_policy(fees)) == vars_of(
        FeePolicy(
            legacy=True,
            max_fee=2 * GWEI,
            headroom=Fraction(3, 2),
            limit=3 * GWEI,
            replace_after=6.0,
            bump=Fraction(1, 8),
        )
    )
    assert vars_of(fee_policy(structs.Fees())) == vars_of(FeePolicy()), "the defaults are the same"


def vars_of(policy):
    return {name: getattr(policy, name) for name in FeePolicy.__slots__}


@pytest.mark.parametrize(
    ("policy", "base", "suggested", "made"),
    [
        (FeePolicy(), 10, 3, Offer(23, 3)),
        (FeePolicy(headroom=Fraction("1.25")), 10, 3, Offer(15, 3)),
        (FeePolicy(priority_fee=1), 10, 3, Offer(21, 1)),
        (FeePolicy(max_fee=7), 10, 3, Offer(7, 3)),
        (FeePolicy(max_fee=2), 10, 3, Offer(2, 2)),
        (FeePolicy(limit=15), 10, 3, Offer(15, 3)),
        (FeePolicy(limit=9), 10, 3, None),
        (FeePolicy(legacy=True), 10, 3, Offer(23, 23)),
        (FeePolicy(legacy=True, max_fee=12), 10, 3, Offer(12, 12)),
    ],
)
def test_an_offer(policy, base, suggested, made):
    assert offer(policy, base, suggested) == made


@given(policies, amounts, amounts)
def test_an_offer_can_be_paid_and_is_within_the_limit(policy, base, suggested):
    made = offer(policy, base, suggested)
    if made is None:
        assert policy.limit is not None
        assert base > policy.limit
    else:
        assert 0 <= made.priority_fee <= made.max_fee
        assert policy.limit is None or made.max_fee <= policy.limit
        assert not policy.legacy or made.priority_fee == made.max_fee


@given(policies, amounts, amounts, amounts)
def test_a_replacement_pays_more_by_the_bump_and_as_much_as_a_new_one(policy, base, later, suggested):
    former, current = offer(policy, base, suggested), offer(policy, later, suggested)
    if former is None:
        return
    better = raised(former, policy, current)
    if better is None:
        assert policy.limit is not None
        return
    assert better.max_fee >= former.max_fee * (1 + policy.bump)
    assert better.max_fee > former.max_fee
    assert better.priority_fee >= min(better.max_fee, former.priority_fee * (1 + policy.bump))
    assert current is not None
    assert better.max_fee >= current.max_fee
    assert policy.limit is None or better.max_fee <= policy.limit


def test_what_is_asked_for_a_suggestion():
    assert FeePolicy().needs_suggestion
    assert FeePolicy(max_fee=5).needs_suggestion
    assert not FeePolicy(priority_fee=1).needs_suggestion
    assert not FeePolicy(legacy=True, max_fee=5).needs_suggestion
    assert FeePolicy(legacy=True).needs_suggestion
