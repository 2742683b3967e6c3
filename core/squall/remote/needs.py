"""The Kubernetes client is large and an extra: a machine that only runs tests by itself does without."""

from __future__ import annotations

from importlib.util import find_spec

from squall.errors import UsageError


def need_client() -> None:
    """Make sure that there is a client.

    Raises:
        UsageError: It is not installed.
    """
    if find_spec("kubernetes") is None:
        raise UsageError(
            "the Kubernetes client is not installed", "install it with: pip install 'squall[cluster]'"
        )
