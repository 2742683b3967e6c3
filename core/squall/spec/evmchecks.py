"""What `spec.evm` can get wrong: endpoints that are none, amounts, contracts whose ABI is none, files of keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from squall.spec.amounts import amount_wei
from squall.spec.checks import BEFORE_THE_LOAD, base_scope, duplicate_names, length_at, share_at
from squall.spec.eip55 import checksummed, mistyped
from squall.spec.httpchecks import check_backoff
from squall.spec.interfaces import Interface, read_interface
from squall.spec.problems import did_you_mean, one_of
from squall.spec.signatures import AbiError, from_text
from squall.spec.tree import Leaf, MapNode, find, items_at, text_at
from squall.spec.urls import PROTOCOLS
from squall.spec.wording import show

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.checks import Checks
    from squall.spec.tree import Node, Path

EVM: Final[Path] = ("spec", "evm")
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")
_KEY: Final = re.compile("(0x)?[0-9a-fA-F]{64}")
_SOCKETS: Final = ("ws://", "wss://")
_MOST_KEYS_BYTES: Final = 64 * 1024 * 1024
ADDRESS_HINT: Final = "an address is 0x and 40 hexadecimal digits"


def check_evm(checks: Checks) -> None:
    """Check `spec.evm`, if there is one."""
    if find(checks.root, *EVM) is None:
        return
    scope = base_scope(checks).with_secrets()
    early = _early(scope)
    for key, noun in (("endpoints", "endpoint"), ("contracts", "contract")):
        duplicate_names(checks, (*EVM, key), noun)
    _endpoints(checks, early)
    _rpc(checks)
    _contracts(checks)
    _wallets(checks, early)
    _funding(checks, early)
    check_gas(checks, (*EVM, "gas"))
    check_fees(checks, (*EVM, "fees"))
    if length_at(checks.root, *EVM, "pollInterval") == 0:
        checks.report((*EVM, "pollInterval"), "this cannot be 0", "write for example 500ms")


def _early(scope: Scope) -> Scope:
    """What is known before the load: variables and the run."""
    return type(scope)(
        names=BEFORE_THE_LOAD,
        variables=scope.variables,
        secrets=scope.secrets,
        allow_secrets=True,
    )


def _endpoints(checks: Checks, scope: Scope) -> None:
    for index, _ in enumerate(items_at(checks.root, *EVM, "endpoints")):
        path: Path = (*EVM, "endpoints", index)
        for key, schemes in (("url", PROTOCOLS), ("webSocket", _SOCKETS)):
            checks.template((*path, key), scope)
            text = text_at(checks.root, *path, key)
            if text is not None and not text.startswith((*schemes, "${")):
                message = f"{show(text)} is not the URL of an endpoint"
                checks.report((*path, key), message, f"begin it with {schemes[0]} or {schemes[1]}")
        checks.templates((*path, "headers"), scope)


def _rpc(checks: Checks) -> None:
    rpc: Path = (*EVM, "rpc")
    for keys in (("timeout",), ("circuitBreaker", "window"), ("circuitBreaker", "openFor")):
        if length_at(checks.root, *rpc, *keys) == 0:
            checks.report((*rpc, *keys), "this cannot be 0", "write for example 10s")
    check_backoff(checks, (*rpc, "retry", "backoff"))


def _contracts(checks: Checks) -> None:
    for index, _ in enumerate(items_at(checks.root, *EVM, "contracts")):
        path: Path = (*EVM, "contracts", index)
        check_address(checks, (*path, "address"))
        interface_at(checks, path, report=True)


def interface_at(checks: Checks, path: Path, *, report: bool = False) -> Interface | None:
    """What the contract at a path has; None when that cannot be known.

    Args:
        checks: Of the manifest.
        path: Of the contract.
        report: Whether to report why it cannot.
    """
    signatures: Path = (*path, "signatures")
    if find(checks.root, *signatures) is not None:
        return _written(checks, signatures, report=report)
    name = text_at(checks.root, *path, "abi")
    if name is not None and report:
        checks.file_name((*path, "abi"))
    file = checks.files.found.get(name or "")
    if file is None:
        return None
    try:
        return read_interface(file.read())
    except OSError:
        return None
    except AbiError as error:
        if report:
            checks.report((*path, "abi"), f'the file "{name}" is no ABI: {error.message}', error.hint)
        return None


def _written(checks: Checks, path: Path, *, report: bool) -> Interface | None:
    """A contract's interface from its signatures; None when one of them is none."""
    found, whole = [], True
    for index, node in enumerate(items_at(checks.root, *path)):
        if not (isinstance(node, Leaf) and isinstance(node.value, str)):
            whole = False
            continue
        try:
            found.append(from_text(node.value))
        except AbiError as error:
            whole = False
            if report:
                checks.report((*path, index), error.message, error.hint)
    return Interface(tuple(found)) if whole else None


def _wallets(checks: Checks, scope: Scope) -> None:
    path: Path = (*EVM, "wallets")
    checks.template((*path, "seed"), scope)
    count, shards = find(checks.root, *path, "count"), find(checks.root, "spec", "shards")
    few, parts = (node.value if isinstance(node, Leaf) else None for node in (count, shards))
    if isinstance(few, int) and isinstance(parts, int) and few < parts:
        message = f"{few} wallets are not enough for {parts} shards, as each has wallets of its own"
        checks.report((*path, "count"), message, f"write {parts} or more, or use fewer shards")
    name = checks.file_name((*path, "keys"))
    file = checks.files.found.get(name or "")
    if file is not None and file.size <= _MOST_KEYS_BYTES:
        try:
            lines = file.read().decode("ascii", "replace").splitlines()
        except OSError:
            return
        wrong = next(
            (at for at, line in enumerate(lines, 1) if line.strip() and not _KEY.fullmatch(line.strip())), 0
        )
        if wrong or not any(line.strip() for line in lines):
            what = f"line {wrong} of it is no private key" if wrong else "it is empty"
            hint = "write one key a line, 64 hexadecimal digits each"
            checks.report((*path, "keys"), f'the file "{name}" holds no keys: {what}', hint)


def _funding(checks: Checks, scope: Scope) -> None:
    path: Path = (*EVM, "funding")
    if find(checks.root, *path) is None:
        return
    if not checks.wallets:
        message = "there are no wallets to be funded"
        checks.report(path, message, "add evm.wallets, or leave funding out", key=True)
    checks.templates((*path, "keys"), scope)
    for index, _ in enumerate(items_at(checks.root, *path, "keys")):
        text = text_at(checks.root, *path, "keys", index) or "${"
        if "${" not in text and not _KEY.fullmatch(text):
            message, hint = (
                "this is no private key",
                "write ${var.x}, a variable from a Secret with 64 hexadecimal digits",
            )
            checks.report((*path, "keys", index), message, hint)
    amount, least = (check_amount(checks, (*path, key)) for key in ("amount", "refillBelow"))
    amount = amount_wei("0.1") if amount is None and find(checks.root, *path, "amount") is None else amount
    if amount == 0:
        checks.report(
            (*path, "amount"), "wallets would get nothing", "write for example 0.1, or leave funding out"
        )
    if amount is not None and least is not None and least > amount:
        message = "a wallet would have less than this right after it was filled"
        checks.report((*path, "refillBelow"), message, "write less than amount")
    check_address(checks, (*path, "multicall"))
    for key in ("wait", "sweepTimeout"):
        if length_at(checks.root, *path, key) == 0:
            checks.report((*path, key), "this cannot be 0", "write for example 30s")


def check_amount(checks: Checks, path: Path) -> int | None:
    """Check the amount at a path; in wei, None when it is not known yet."""
    text = text_at(checks.root, *path)
    if text is None or "${" in text:
        return None
    try:
        return amount_wei(text)
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        checks.report(path, message, hint or "write for example 0.1, 2 gwei or 1000 wei")
        return None


def check_address(checks: Checks, path: Path) -> None:
    """Check the address at a path, if it is written out."""
    text = text_at(checks.root, *path)
    if text is None or "${" in text:
        return
    if not _ADDRESS.fullmatch(text):
        checks.report(path, f"{show(text)} is no address", ADDRESS_HINT)
    elif mistyped(text):
        message = f"the capitals of {show(text)} do not match its digits, so one of them is mistyped (EIP-55)"
        checks.report(
            path, message, f"compare it with its source; if every digit is right, write {checksummed(text)}"
        )


def check_gas(checks: Checks, path: Path) -> None:
    """Check a `gas`: its limits belong to contracts that there are."""
    node = find(checks.root, *path, "limits")
    known = contract_names(checks)
    for name in node.items if isinstance(node, MapNode) else ():
        contract, dot, function = name.partition(".")
        if not (dot and function):
            hint = "write contract.function"
            checks.report(
                (*path, "limits", name), f'"{name}" names no function of a contract', hint, key=True
            )
        elif contract not in known:
            message = f'there is no contract "{contract}"{did_you_mean(contract, known)}'
            checks.report((*path, "limits", name), message, contracts_hint(known), key=True)
    margin = share_at(checks.root, *path, "margin")
    if (
        text_at(checks.root, *path, "policy") == "precomputed"
        and node is None
        and _absent(checks, path, "limit")
    ):
        message = "policy: precomputed has nothing to take limits from"
        checks.report((*path, "policy"), message, "write limits, or limit")
    if margin is not None and margin < 0:
        checks.report((*path, "margin"), "this cannot be less than 0", "write for example 20%")


def _absent(checks: Checks, path: Path, key: str) -> bool:
    return find(checks.root, *path, key) is None


def check_fees(checks: Checks, path: Path) -> None:
    """Check a `fees`."""
    most, tip, cap = (check_amount(checks, (*path, key)) for key in ("maxFee", "priorityFee", "limit"))
    if text_at(checks.root, *path, "type") == "legacy":
        for key in ("priorityFee", "headroom"):
            if not _absent(checks, path, key):
                message = "a legacy transaction has a gas price and nothing else"
                checks.report((*path, key), message, "write it as maxFee, or use type: eip1559", key=True)
    if most is not None and tip is not None and tip > most:
        checks.report((*path, "priorityFee"), "the tip is more than maxFee", "write less")
    if most is not None and cap is not None and most > cap:
        checks.report((*path, "maxFee"), "this is more than limit, which is never exceeded", "write less")
    headroom = text_at(checks.root, *path, "headroom")
    if headroom is not None and re.fullmatch(r"[0-9]+(\.[0-9]+)?", headroom) and float(headroom) < 1:
        checks.report((*path, "headroom"), "less than the base fee is never taken", 'write "1" or more')
    if length_at(checks.root, *path, "replaceAfter") == 0:
        checks.report((*path, "replaceAfter"), "this cannot be 0", "write for example 30s")


def contract_names(checks: Checks) -> list[str]:
    """The names of `evm.contracts`."""
    return [name for item in items_at(checks.root, *EVM, "contracts") if (name := text_at(item, "name"))]


def contracts_hint(known: list[str]) -> str:
    """What to write where a contract is wanted."""
    return one_of(known, "contracts") or "declare it under spec.evm.contracts"


def contract_at(checks: Checks, name: str | None) -> tuple[Path, Node] | None:
    """Where the contract of a name is declared."""
    for index, item in enumerate(items_at(checks.root, *EVM, "contracts")):
        if name is not None and text_at(item, "name") == name:
            return (*EVM, "contracts", index), item
    return None
