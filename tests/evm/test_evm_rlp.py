"""RLP beside the examples of its specification, and beside pyrlp for everything else."""

from __future__ import annotations

from typing import Any

import pytest
import rlp as reference
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.evm.signing import rlp

LOREM = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit"

# https://ethereum.org/en/developers/docs/data-structures-and-encoding/rlp/#examples
EXAMPLES: list[tuple[Any, bytes]] = [
    (b"dog", b"\x83dog"),
    ([b"cat", b"dog"], b"\xc8\x83cat\x83dog"),
    (b"", b"\x80"),
    ([], b"\xc0"),
    (0, b"\x80"),
    (b"\x00", b"\x00"),
    (15, b"\x0f"),
    (1024, b"\x82\x04\x00"),
    ([[], [[]], [[], [[]]]], b"\xc7\xc0\xc1\xc0\xc3\xc0\xc1\xc0"),
    (LOREM, b"\xb8\x38" + LOREM),
]


@pytest.mark.parametrize(("item", "encoded"), EXAMPLES)
def test_the_examples_of_the_specification(item: Any, encoded: bytes) -> None:
    assert rlp.encode(item) == encoded


sizes = st.one_of(st.integers(0, 60), st.sampled_from([255, 256, 65535, 65536]))
byte_strings = st.builds(lambda size, byte: bytes([byte]) * size, sizes, st.integers(0, 255)) | st.binary()
numbers = st.integers(0, 2**256) | st.sampled_from([127, 128, 2**440 - 1, 2**440])
items = st.recursive(byte_strings | numbers, lambda inner: st.lists(inner, max_size=8), max_leaves=30)


@given(items)
def test_everything_is_as_pyrlp_encodes_it(item: Any) -> None:
    assert rlp.encode(item) == reference.encode(item)


@given(st.lists(byte_strings, max_size=5))
def test_a_list_can_be_put_together_from_encoded_items(parts: list[bytes]) -> None:
    assert rlp.list_of(b"".join(map(rlp.byte_string, parts))) == reference.encode(parts)


@pytest.mark.parametrize(
    ("item", "error"), [(-1, OverflowError), ("dog", TypeError), (True, TypeError), ([None], TypeError)]
)
def test_what_rlp_does_not_know_is_refused(item: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        rlp.encode(item)
