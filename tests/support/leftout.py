"""One rule for the real parts a machine may lack: fail loudly, unless somebody said to leave them out.

A test that quietly skips because a binary is missing proves nothing and nobody notices. So a missing part is a failure that
says how to get it; `SQUALL_TESTS_WITHOUT="control-plane prometheus"` turns the named parts' tests into skips.
"""

import os
from typing import NoReturn

import pytest

VARIABLE = "SQUALL_TESTS_WITHOUT"


def left_out(part: str) -> bool:
    """Tell whether the environment asks to do without a part."""
    return part in os.environ.get(VARIABLE, "").replace(",", " ").split()


def skip_if_left_out(part: str) -> None:
    """Skip the current test when the environment asks to do without the part it needs."""
    if left_out(part):
        pytest.skip(f"{VARIABLE} names {part}")


def missing(part: str, why: str) -> NoReturn:
    """Fail the current test: the part is missing and nobody said to do without it."""
    pytest.fail(f"{part} is not available: {why}\nTo leave its tests out: {VARIABLE}={part}", pytrace=False)


def skip_without_node() -> None:
    """Skip the current test where no node can be: the environment asks to do without, or nobody is root."""
    skip_if_left_out("node")
    if os.geteuid() != 0:
        pytest.skip("left out: a node needs root")
