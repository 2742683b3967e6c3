"""Building what tests need before the first of them runs: later, the minutes it takes would count against some test's time limit."""

import sys
from collections.abc import Callable, Iterable

import pytest


def build_ahead(
    session: pytest.Session,
    preparations: Iterable[Callable[[], object]],
    errors: type[Exception] | tuple[type[Exception], ...],
) -> None:
    """Carry out preparations where tests are about to run, for everybody to see.

    Args:
        session: Of pytest, whose tests are collected.
        preparations: What to do, in order.
        errors: What they raise when something cannot be had: it is told now, and each test that needs it fails with the same message.
    """
    if session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for prepare in preparations:
            try:
                prepare()
            except errors as error:
                sys.stderr.write(f"{error}\n")
