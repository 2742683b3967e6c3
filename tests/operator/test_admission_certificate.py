"""The generations of the webhook's certificate: at no moment is anything served that those who call do not trust."""

from __future__ import annotations

import datetime as dt
from base64 import b64encode

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from squall_operator.admission.certificate import (
    OVERLAP,
    RENEWED,
    VALID,
    Generations,
    Pair,
    data_of,
    read,
    step,
)

HOST = "squall-webhook.squall-system.svc"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FIRST = Pair.made(HOST, START)


def stepped(found: Generations | None, now: dt.datetime, trusted: bytes | None = None) -> Generations | None:
    known = trusted if trusted is not None else found.trusted if found else b""
    return step(found, known, HOST, now)


def test_a_certificate_is_for_its_host_and_vouches_for_nothing_else() -> None:
    certificate = x509.load_pem_x509_certificate(FIRST.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc == START + VALID
    assert FIRST.age(START) == dt.timedelta(0)


def test_a_generation_lives_through_its_three_times() -> None:
    first = stepped(None, START)
    assert first is not None
    assert stepped(first, START + RENEWED - dt.timedelta(seconds=1)) is None
    announced = stepped(first, START + RENEWED)
    assert announced is not None
    assert announced.current == first.current
    assert announced.next is not None
    at = START + RENEWED
    assert stepped(announced, at + OVERLAP - dt.timedelta(seconds=1)) is None
    taken_up = stepped(announced, at + OVERLAP)
    assert taken_up is not None
    assert (taken_up.current, taken_up.next) == (announced.next, None)
    assert taken_up.former == first.current.certificate
    assert stepped(taken_up, at + OVERLAP) is None
    alone = stepped(taken_up, at + 2 * OVERLAP)
    assert alone == Generations(taken_up.current)
    assert stepped(alone, at + 2 * OVERLAP) is None


def test_what_nobody_was_told_to_trust_is_not_taken_up() -> None:
    first = Generations(FIRST)
    announced = stepped(first, START + RENEWED)
    assert announced is not None
    late = START + RENEWED + 5 * OVERLAP
    assert stepped(announced, late, trusted=FIRST.certificate) is None
    assert stepped(announced, late) is not None


@pytest.mark.parametrize(
    ("host", "now"),
    [("another.svc", START), ("127.0.0.1", START), (HOST, START + VALID)],
)
def test_what_cannot_be_served_is_replaced_at_once(host: str, now: dt.datetime) -> None:
    found = step(Generations(FIRST), FIRST.certificate, host, now)
    assert found is not None
    assert found.current != FIRST
    assert found.current.is_for(host, now)


@settings(max_examples=25, deadline=None)
@given(
    waits=st.lists(
        st.tuples(st.sampled_from(["server", "client"]), st.floats(min_value=60, max_value=40 * 86400)),
        min_size=5,
        max_size=40,
    )
)
def test_servers_and_clients_that_look_now_and_then_always_agree(waits: list[tuple[str, float]]) -> None:
    """Two replicas that look one after the other, and an API server that hears of what it is to trust right after a look."""
    shared = Generations(FIRST)
    now, trusted = START, shared.trusted
    for who, seconds in waits:
        now += dt.timedelta(seconds=min(seconds, 20 * 86400))
        if who == "client":
            assert shared.current.certificate in trusted
            continue
        before = shared
        shared = step(shared, trusted, HOST, now) or shared
        expired = not before.current.is_for(HOST, now)
        # What another replica still serves, and what this one serves now, before anybody is told anything new.
        assert expired or before.current.certificate in shared.trusted
        assert expired or shared.current.certificate in trusted
        trusted = shared.trusted


def test_a_secret_keeps_all_of_it() -> None:
    full = Generations(FIRST, Pair.made(HOST, START), Pair.made(HOST, START).certificate)
    for generations in (full, Generations(FIRST)):
        assert read(data_of(generations)) == generations
    assert set(data_of(Generations(FIRST))) == {"tls.crt", "tls.key"}


@pytest.mark.parametrize(
    "change",
    [
        {"tls.crt": None},
        {"tls.key": None},
        {"tls.crt": b"x"},
        {"tls.key": b"x"},
        {"tls.key": Pair.made(HOST, START).key},
        {"next.crt": FIRST.certificate, "next.key": Pair.made(HOST, START).key},
    ],
)
def test_what_cannot_be_used_is_no_generation(change: dict[str, bytes | None]) -> None:
    data = data_of(Generations(FIRST))
    for key, value in change.items():
        if value is None:
            del data[key]
        else:
            data[key] = b64encode(value).decode()
    assert read(data) is None
    assert read({}) is None
    assert read({"tls.crt": "%", "tls.key": "%"}) is None
