"""Reports of runs are ConfigMaps, and others than the operator may write those."""

from __future__ import annotations

import gzip

import msgspec
import pytest
from support.summaries import summary

from squall.remote.cluster import _unpacked
from squall.report.model import MAX_SUMMARY


def test_what_the_operator_has_written_is_read() -> None:
    data = msgspec.json.encode(summary())
    assert _unpacked(gzip.compress(data)) == data


def test_a_bomb_is_not_unfolded() -> None:
    with pytest.raises(ValueError, match="unfolds to more than 64 MiB"):
        _unpacked(gzip.compress(bytes(4 * MAX_SUMMARY)))


def test_one_that_was_cut_short_is_no_report() -> None:
    with pytest.raises(ValueError, match="cut short"):
        _unpacked(gzip.compress(msgspec.json.encode(summary()))[:-20])
