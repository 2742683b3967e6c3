"""The command of a bench that has parts: all of them, or those that are named, whose numbers replace the former ones."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING

from harness.results import keep, kept, show

if TYPE_CHECKING:
    from collections.abc import Sequence


def measure_parts(name: str, parts: Sequence[str]) -> int:
    """Measure the parts that the command line names; the module of each is called after bench and part.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=parts, action="append", help="this part, and others given likewise")
    chosen = parser.parse_args().only or parts
    known = {number.name: number for number in kept(name)} if len(chosen) < len(parts) else {}
    measured = [number for part in chosen for number in import_module(f"{name}_{part}").measure()]
    show(measured)
    return keep(name, list((known | {number.name: number for number in measured}).values()))
