"""eth-account, which our own signing is held against, loaded without what loading it does to the whole process.

One of the packages that it needs raises Python's recursion limit a hundredfold, and then data that is nested deep enough ends the
process where it should end as an error: in the tests of whatever comes later.
"""

from __future__ import annotations

import sys

_limit = sys.getrecursionlimit()
from eth_account import Account  # noqa: E402 - between the two
from eth_account.messages import encode_defunct, encode_typed_data  # noqa: E402

sys.setrecursionlimit(_limit)

__all__ = ["Account", "encode_defunct", "encode_typed_data"]
