"""`squall evm`: the wallets of a test on an EVM chain, without a run: filled ahead, emptied afterwards, looked at.

What a run gives to wallets it takes back at its end. Where it could not, since the machine or the chain was gone, `sweep` does it
from the manifest or from the run's folder: accounts are derived, so the same seed and the same funder are all that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from squall.cli.options import ManifestChanges, manifest_options

if TYPE_CHECKING:
    from pathlib import Path

    from squall.hub.evmtask import EvmTask

_RUN_HELP = "The run whose wallets are meant, where spec.evm.wallets.seed holds its id."


@click.group()
def evm() -> None:
    """Fill, empty and look at the wallets of tests on EVM chains."""


@evm.command()
@click.argument("file")
@click.option("--count", type=click.IntRange(1), metavar="N", help="Only the first N wallets.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as a JSON object.")
@manifest_options
def fund(file: str, *, count: int | None, as_json: bool, changes: ManifestChanges) -> int:
    """Fill the wallets of FILE's test now, up to spec.evm.funding.amount, so that a run begins with all of them.

    Only wallets that have less are filled, so it can be repeated. The run then asks nothing more of the funders. FILE may be - for
    standard input.
    """
    return _carry_out(_Asked(command="fund", source=file, changes=changes, as_json=as_json, count=count))


@evm.command()
@click.argument("source", metavar="FILE|DIRECTORY")
@click.option("--run", "run_id", default="", metavar="ID", help=_RUN_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print what came back as a JSON object.")
@manifest_options
def sweep(source: str, *, run_id: str, as_json: bool, changes: ManifestChanges) -> int:
    """Give back to the funders what is left in the wallets of a test: of a manifest, or of the run in a results folder.

    It can be interrupted and repeated. Secrets come from the same variables as for the run. The exit code is 0 when nothing
    but dust is left, 109 otherwise.
    """
    return _carry_out(_Asked(command="sweep", source=source, changes=changes, as_json=as_json, run=run_id))


@evm.command()
@click.argument("source", metavar="FILE|DIRECTORY")
@click.option("--count", type=click.IntRange(1), metavar="N", help="Only the first N wallets.")
@click.option("--run", "run_id", default="", metavar="ID", help=_RUN_HELP)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, amounts in wei.")
@manifest_options
def wallets(source: str, *, count: int | None, run_id: str, as_json: bool, changes: ManifestChanges) -> int:
    """List the wallets of a test with address, balance and nonce; its funders and the shards' own accounts come last."""
    return _carry_out(
        _Asked(command="wallets", source=source, changes=changes, as_json=as_json, count=count, run=run_id)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the command line asks for."""

    command: Literal["fund", "sweep", "wallets"]
    source: str
    changes: ManifestChanges
    as_json: bool
    count: int | None = None
    run: str = ""


def _carry_out(asked: _Asked) -> int:
    import sys
    import tempfile
    from pathlib import Path

    from squall.cli.evm_process import carry_out
    from squall.cli.evm_view import view
    from squall.report.terminal import terminal

    with tempfile.TemporaryDirectory(prefix="squall-evm-") as folder:
        task = _task(asked, Path(folder))
        show = view(asked.command, terminal(sys.stdout), terminal(sys.stderr), as_json=asked.as_json)
        return carry_out(task, show)


def _task(asked: _Asked, folder: Path) -> EvmTask:
    """What the process is given; inline files are written into the folder."""
    import secrets
    from dataclasses import replace
    from pathlib import Path

    from squall.cli.one_process import whole
    from squall.errors import UsageError
    from squall.hub.evmtask import EvmTask
    from squall.report.evmjournal import JOURNAL, read_journal
    from squall.report.folder import MANIFEST
    from squall.validation import load_one

    source, run, first_wallet = asked.source, asked.run, ""
    if Path(source).is_dir():
        journal = read_journal(Path(source, JOURNAL))
        run, first_wallet = run or journal.run, journal.first_wallet
        source = str(Path(source, MANIFEST))
    options = asked.changes.options()
    # Of a run's folder the files may be elsewhere by now; all that matters here is one with keys.
    test = load_one(source, replace(options, read_files=False))
    evm = test.model.spec.evm
    if evm is None or evm.wallets is None:
        raise UsageError(f"{source} has no wallets", "they stand under spec.evm.wallets")
    if asked.command != "wallets" and evm.funding is None:
        raise UsageError(f"{source} has no funder", "its keys stand under spec.evm.funding.keys")
    if evm.wallets.keys is not None:
        test = load_one(source, options)
    return EvmTask(
        command=asked.command,
        assignment=whole(test, run or f"evm-{secrets.token_hex(4)}", folder),
        count=asked.count,
        of_run=bool(run),
        first_wallet=first_wallet,
    )
