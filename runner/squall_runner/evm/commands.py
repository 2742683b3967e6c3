"""What `squall evm` does on a chain: fills wallets ahead of a run, gives back what is left after one, looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall_runner.engine.manifest import read_manifest
from squall_runner.evm.money.ahead import fill_ahead
from squall_runner.evm.money.sweeping import Swept
from squall_runner.evm.money.tree import of_one_run, read_tree
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.opening import open_funds
from squall_runner.evm.signing.keys import checksummed, verify_crypto
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from squall.hub.evmtask import EvmTask
    from squall_runner.evm.money.balances import Balances
    from squall_runner.evm.money.funds import Funds
    from squall_runner.evm.money.tree import Tree

_AT_ONCE: Final = 500


async def carry_out(task: EvmTask, emit: Callable[..., None]) -> bool:
    """Do it, and tell it; returns whether nothing is left to be done.

    Args:
        task: What.
        emit: `emit(event, **fields)`, see `squall.hub.evmtask`.

    Raises:
        SquallError: It cannot be done.
    """
    verify_crypto()
    manifest = read_manifest(task.assignment)
    tree = read_tree(manifest)
    if tree is None:
        raise LoadError("NoWallets", "the manifest has no wallets", "they stand under spec.evm.wallets")
    if not task.of_run and of_one_run(manifest):
        raise LoadError(
            "RunUnknown",
            "spec.evm.wallets.seed holds the run's id, so each run has wallets of its own",
            "name the run with --run, or its results folder; to fill wallets ahead, take a seed without ${run.id}",
        )
    if task.first_wallet and task.first_wallet != tree.fingerprint:
        raise LoadError(
            "SeedDiffers",
            f"the first wallet of this seed is {tree.fingerprint}, and that of the run was {task.first_wallet}",
            "give the variables the values that they had in the run",
        )

    def note(level: str, event: str, **fields: Any) -> None:
        emit("note", level=level, name=event, fields=fields)

    async with open_funds(task.assignment, manifest, tree, note) as funds:
        try:
            if task.command == "fund":
                return await _fund(task, tree, funds, emit)
            if task.command == "sweep":
                return await _sweep(tree, funds, emit)
            await _wallets(task, tree, funds.look, emit)
        except RpcError as error:
            raise LoadError("ChainFailed", error.message, error.hint) from error
    return True


async def _fund(task: EvmTask, tree: Tree, funds: Funds, emit: Callable[..., None]) -> bool:
    def progress(done: int, of: int) -> None:
        emit("progress", done=done, all=of)

    ahead = await fill_ahead(funds, task.count or tree.count, progress)
    emit(
        "funded",
        wallets=ahead.wallets,
        filled=ahead.filled,
        given=str(ahead.given),
        spent=str(ahead.spent),
        transactions=ahead.transactions,
    )
    return True


async def _sweep(tree: Tree, funds: Funds, emit: Callable[..., None]) -> bool:
    def progress(done: int, of: int) -> None:
        emit("progress", done=done, all=of)

    swept = Swept()
    try:
        await funds.sweep(progress=progress, result=swept, beyond=True)
    finally:
        _tell_swept(tree, swept, emit)  # also of one that somebody has interrupted
    return swept.done


def _tell_swept(tree: Tree, swept: Swept, emit: Callable[..., None]) -> None:
    emit(
        "swept",
        accounts=swept.accounts,
        returned=str(swept.returned),
        transfers=swept.transfers,
        spent=str(swept.spent),
        dust=str(swept.dust),
        dusty=swept.dusty,
        left=str(swept.left),
        unread=swept.unread,
        coming=swept.coming,
        untouched=tree.count if tree.imported else 0,
        failed=[{"address": address, "reason": reason} for address, reason in swept.failed],
    )


async def _wallets(task: EvmTask, tree: Tree, look: Balances, emit: Callable[..., None]) -> None:
    listed = list(_accounts(tree, min(task.count or tree.count, tree.count)))
    for start in range(0, len(listed), _AT_ONCE):
        part = listed[start : start + _AT_ONCE]
        addresses = [address for _, _, address in part]
        balances, nonces = await look.of(addresses), await look.nonces(addresses)
        for (kind, index, address), balance, nonce in zip(part, balances, nonces, strict=True):
            emit(
                "wallet",
                kind=kind,
                index=index,
                address=checksummed(address),
                balance=str(balance),
                nonce=nonce,
            )


def _accounts(tree: Tree, count: int) -> Iterator[tuple[str, int, bytes]]:
    for index in range(count):
        yield "wallet", index, tree.keys.key(index).address_bytes
    if tree.funders:
        for shard in range(tree.shards):
            yield "shard", shard, tree.shard_key(shard).address_bytes
    for place, funder in enumerate(tree.funders):
        yield "funder", place, funder.address_bytes
