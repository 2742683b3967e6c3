"""Made-up data of users: of the exact size, real JSON, the same for the same seed."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.errors import SquallError
from squall_runner.evm.synthetic import generate_user_data

RUN, USER = "data-portability-20261129-101500", "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"


@given(st.integers(512, 6000) | st.sampled_from([1024, 10_240, 102_400]), st.integers(0, 2**32))
def test_it_has_exactly_the_size_and_all_parts(size: int, seed: int) -> None:
    data = generate_user_data(size, Random(seed), run=RUN, user=USER)
    assert len(data) == size
    parsed = json.loads(data)
    assert list(parsed) == ["metadata", "profile", "preferences", "purchases", "activity", "notes"]
    assert parsed["metadata"] == {"kind": "synthetic", "format": 1, "run": RUN, "user": USER, "bytes": size}
    assert len(parsed["notes"]) < 150
    assert data == generate_user_data(size, Random(seed), run=RUN, user=USER)


def test_each_user_has_data_of_their_own() -> None:
    made = {generate_user_data(1024, Random(seed), run=RUN, user=USER) for seed in range(50)}
    assert len(made) == 50


def test_large_data_are_mostly_records() -> None:
    parsed = json.loads(generate_user_data(102_400, Random(1), run=RUN, user=USER))
    assert len(parsed["activity"]) > 3 * len(parsed["purchases"]) > 300


def test_names_that_json_has_to_escape_keep_the_size() -> None:
    data = generate_user_data(900, Random(1), run='a "run" — ü', user=7)
    assert len(data) == 900
    assert json.loads(data)["metadata"]["run"] == 'a "run" — ü'


def test_too_small_a_size_says_what_it_takes() -> None:
    with pytest.raises(SquallError, match="100 bytes do not hold") as caught:
        generate_user_data(100, Random(1), run=RUN, user=USER)
    least = int(next(word for word in caught.value.hint.split() if word.isdecimal()))
    assert 300 < least <= 512
