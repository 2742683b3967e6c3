"""What `squall evm` shows of the events that its process tells; with `--json`, what a program reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from squall.spec.amounts import native_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_KINDS = {"wallet": "wallet", "shard": "account of shard", "funder": "funder"}
_SHOWN = frozenset({"warning", "error"})


def view(
    command: str, console: Console, errors: Console, *, as_json: bool
) -> Callable[[dict[str, Any]], None]:
    """What takes the events of a command.

    Args:
        command: `fund`, `sweep` or `wallets`.
        console: For results.
        errors: For how it goes on, and what went wrong.
        as_json: Whether results are JSON.
    """
    shown = _Progress(errors, "filled" if command == "fund" else "done")

    def show(event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            shown.at(event["done"], event["all"])
        elif kind == "note":
            if event["level"] in _SHOWN:
                errors.print(
                    Text(f"{event['level']}: {event['fields']['message']}", "yellow"), soft_wrap=True
                )
        elif kind in {"funded", "swept", "wallet"}:
            if as_json:
                click.echo(json.dumps({key: value for key, value in event.items() if key != "event"}))
            else:
                for line in _LINES[kind](event):
                    console.print(Text(line), soft_wrap=True)

    return show


class _Progress:
    """A line for each tenth: it reads the same in a log."""

    def __init__(self, console: Console, word: str) -> None:
        self._console = console
        self._word = word
        self._tenths = -1

    def at(self, done: int, of: int) -> None:
        tenths = 10 * done // of if of else 10
        if tenths > self._tenths:
            self._tenths = tenths
            self._console.print(Text(f"{done:,} of {of:,} {self._word}", "dim"))


def _funded(event: dict[str, Any]) -> list[str]:
    if not event["filled"]:
        return [f"All {event['wallets']:,} wallets have what they need; nothing was sent."]
    return [
        (
            f"{event['filled']:,} of {event['wallets']:,} wallets filled with {_native(event['given'])} together, in "
            f"{event['transactions']:,} transactions; their gas cost {_native(event['spent'])}."
        )
    ]


def _swept(event: dict[str, Any]) -> list[str]:
    lines = [f"{event['accounts']:,} accounts looked at."]
    if event["transfers"]:
        lines.append(
            f"{_native(event['returned'])} came back in {event['transfers']:,} transactions; "
            f"their gas cost {_native(event['spent'])}."
        )
    if event["untouched"]:
        lines.append(
            f"The {event['untouched']:,} wallets whose keys come from a file keep what they have, which may be their owner's."
        )
    if event["dusty"]:
        lines.append(f"{_native(event['dust'])} stays in {event['dusty']:,} accounts: sending it costs more.")
    if int(event["left"]):
        lines.append(f"{_native(event['left'])} is still there; run the same command again. Why, for some:")
        lines += [f"  {failed['address']}: {failed['reason']}" for failed in event["failed"]]
    elif event["unread"]:
        lines.append("Not all accounts could be looked at; run the same command again.")
    elif event["coming"]:
        lines.append("What funders or shards have sent is in no block yet; run the same command again later.")
    elif not event["transfers"]:
        lines.append("Nothing is left to give back.")
    return lines


def _wallet(event: dict[str, Any]) -> list[str]:
    name = f"{_KINDS[event['kind']]} {event['index']}"
    return [f"{name:<20} {event['address']}  {_native(event['balance']):>24}  nonce {event['nonce']}"]


def _native(wei: str) -> str:
    return native_text(int(wei))


_LINES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "funded": _funded,
    "swept": _swept,
    "wallet": _wallet,
}
