"""What commands print beside tables: plain text that may hold words of others."""

from __future__ import annotations

import click

from squall.printable import printable


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text.

    Args:
        text: It may have been written by anybody.
        err: To standard error.
        nl: End the line.
    """
    click.echo(printable(text), err=err, nl=nl)
