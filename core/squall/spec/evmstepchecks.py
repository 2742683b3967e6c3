"""What steps on a chain, and those that encrypt, can get wrong: contracts, functions and arguments that there are none of.

As far as ABIs and signatures can be read here; the runner encodes everything that is constant before the load and says the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from squall.spec.evmchecks import (
    EVM,
    check_address,
    check_amount,
    check_fees,
    check_gas,
    contract_at,
    contract_names,
    contracts_hint,
    interface_at,
)
from squall.spec.language import EVENT_MEMBERS, RECEIPT_MEMBERS, SENT_MEMBERS
from squall.spec.problems import did_you_mean, one_of
from squall.spec.quantities import size_bytes
from squall.spec.signatures import AbiError, Declaration, from_text
from squall.spec.tree import Leaf, ListNode, MapNode, find, text_at
from squall.spec.wording import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Scope
    from squall.spec.checks import Checks
    from squall.spec.interfaces import Interface
    from squall.spec.tree import Path

EVENT: Final = "event"
"""What `waitEvent.condition` calls the event."""
LEAST_DATA: Final = 512
"""Bytes of the smallest data that `generate` makes."""
_HEX: Final = re.compile("0x([0-9a-fA-F]{2})*")
_NUMBER: Final = re.compile("0x[0-9a-fA-F]{1,16}|[0-9]{1,20}")
_TAGS: Final = ("latest", "pending", "safe", "finalized", "earliest")
_HELD: Final = {
    "transaction": (*SENT_MEMBERS, *RECEIPT_MEMBERS),
    "deploy": (*SENT_MEMBERS, *RECEIPT_MEMBERS, "address"),
    "waitReceipt": RECEIPT_MEMBERS,
    "waitEvent": EVENT_MEMBERS,
}
"""What the `result` of a step holds, by its kind."""
_TYPED: Final = ("domain", "types", "primaryType", "message")
_WALLETS_HINT: Final = "add evm.wallets with a seed"


class EvmStepChecks:
    """Checks of steps of these kinds; each returns the scope after the step.

    Args:
        checks: Of the manifest.
    """

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._root = checks.root
        self._interfaces: dict[str, Interface | None] = {}
        self._kinds: dict[str, Callable[[Path, Scope], list[str] | None]] = {
            "call": self._call,
            "transaction": self._transaction,
            "deploy": self._deploy,
            "waitReceipt": self._wait_receipt,
            "waitEvent": self._wait_event,
            "balance": self._balance,
            "rpc": self._rpc,
            "sign": self._sign,
            "pace": self._pace,
        }

    def check(self, path: Path, scope: Scope) -> Scope:
        """Check an `evm` step."""
        if find(self._root, *EVM) is None:
            message = "there is no chain to act on"
            self._checks.report(path, message, "say in spec.evm how it is reached", key=True)
        for kind, check in self._kinds.items():
            here = (*path, kind)
            if find(self._root, *here) is not None:
                given, result = check(here, scope) or (), self._result(here)
                scope = scope.with_names([*given, *result])
                held = self._held(here, kind)
                for name in result if held else ():
                    scope = scope.with_members(name, held)
        return scope

    def _held(self, path: Path, kind: str) -> tuple[str, ...]:
        """What a step's `result` holds; empty where that depends on the contract or the node."""
        if kind == "transaction" and text_at(self._root, *path, "wait") == "accepted":
            return SENT_MEMBERS
        return _HELD.get(kind, ())

    def encrypt(self, path: Path, scope: Scope) -> Scope:
        """Check an `encrypt` step."""
        self._crypt(path, scope)
        self._checks.template((*path, "publicKey"), scope)
        return scope.with_names(self._result(path))

    def decrypt(self, path: Path, scope: Scope) -> Scope:
        """Check a `decrypt` step."""
        self._crypt(path, scope)
        return scope.with_names(self._result(path))

    def generate(self, path: Path, scope: Scope) -> Scope:
        """Check a `generate` step."""
        leaf = find(self._root, *path, "size")
        value = leaf.value if isinstance(leaf, Leaf) else None
        if isinstance(value, int | str) and not isinstance(value, bool):
            try:
                small = size_bytes(value) < LEAST_DATA
            except ValueError:
                small = False
            if small:
                message = f"a user's data is {LEAST_DATA} bytes at least"
                self._checks.report((*path, "size"), message, f"write {LEAST_DATA} or more")
        return scope.with_names(self._result(path))

    def _crypt(self, path: Path, scope: Scope) -> None:
        self._checks.template((*path, "data"), scope)
        self._checks.template((*path, "message"), scope)
        self._checks.template((*path, "password"), scope.with_secrets())
        if find(self._root, *path, "message") is not None:
            self._needs_wallet((*path, "message"), "this is signed by the VU's wallet, and there are none")

    # The kinds of `evm`: each checks what stands at `path` and returns the names it gives values to, `result` apart.

    def _call(self, path: Path, scope: Scope) -> None:
        self._where(path, scope, "to")
        self._function(path, self._interface(path))
        self._checks.templates((*path, "args"), scope.with_secrets())
        self._block((*path, "block"), scope)

    def _transaction(self, path: Path, scope: Scope) -> None:
        self._needs_wallet(path, "a transaction is sent by the VU's wallet, and there are none")
        self._where(path, scope, "to")
        if find(self._root, *path, "function") is not None:
            self._function(path, self._interface(path))
        self._checks.templates((*path, "args"), scope.with_secrets())
        self._checks.template((*path, "data"), scope)
        self._hex((*path, "data"))
        self._paid(path, scope)

    def _deploy(self, path: Path, scope: Scope) -> None:
        self._needs_wallet(path, "a contract is deployed by the VU's wallet, and there are none")
        interface = self._interface(path)
        self._hex((*path, "bytecode"))
        if interface is not None:
            if find(self._root, *path, "bytecode") is None:
                self._deployable((*path, "contract"), interface)
            constructors = interface.all("constructor") or [Declaration("constructor", "", ())]
            self._arguments(path, constructors, "the constructor")
        self._checks.templates((*path, "args"), scope.with_secrets())
        self._paid(path, scope)

    def _wait_receipt(self, path: Path, scope: Scope) -> None:
        self._checks.template((*path, "hash"), scope)

    def _wait_event(self, path: Path, scope: Scope) -> list[str]:
        checks = self._checks
        self._where(path, scope, "address")
        event = self._event(path, self._interface(path))
        checks.templates((*path, "where"), scope)
        seen = scope.with_members(EVENT, EVENT_MEMBERS)
        if event is not None and all(event.names):
            seen = seen.with_members(f"{EVENT}.args", event.names)
        checks.expression((*path, "condition"), seen)
        checks.template((*path, "fromBlock"), scope)
        self._number((*path, "fromBlock"), ())
        names: list[str] = []
        for key in ("where", "extract"):
            node = find(self._root, *path, key)
            for name in node.items if isinstance(node, MapNode) else ():
                here = (*path, key, name)
                if key == "extract":
                    names += checks.new_name(here, name)
                wanted = text_at(node, name) if key == "extract" else name
                if event is not None and wanted is not None and wanted not in event.names:
                    message = (
                        f'{event.signature} has no argument "{wanted}"{did_you_mean(wanted, event.names)}'
                    )
                    checks.report(here, message, one_of(event.names, "arguments"), key=key == "where")
        return names

    def _balance(self, path: Path, scope: Scope) -> None:
        self._checks.template((*path, "of"), scope)
        check_address(self._checks, (*path, "of"))
        if find(self._root, *path, "of") is None:
            self._needs_wallet(
                path, "there is no wallet whose balance could be meant", "write of, or add evm.wallets"
            )

    def _rpc(self, path: Path, scope: Scope) -> None:
        self._checks.templates((*path, "params"), scope.with_secrets())

    def _sign(self, path: Path, scope: Scope) -> None:
        self._needs_wallet(path, "the VU's wallet signs, and there are none")
        self._checks.template((*path, "message"), scope)
        typed = (*path, "typedData")
        self._checks.templates(typed, scope)
        node = find(self._root, *typed)
        if node is not None:
            missing = [key for key in _TYPED if not (isinstance(node, MapNode) and key in node.items)]
            if missing:
                message = f"typed data (EIP-712) needs {', '.join(missing)}"
                self._checks.report(typed, message, "write domain, types, primaryType and message", key=True)

    def _pace(self, path: Path, scope: Scope) -> None:
        """Its rules say it all."""

    # Parts that several kinds share.

    def _result(self, path: Path) -> list[str]:
        here = (*path, "result")
        return self._checks.new_name(here, text_at(self._root, *here))

    def _needs_wallet(self, path: Path, message: str, hint: str = _WALLETS_HINT) -> None:
        if not self._checks.wallets:
            self._checks.report(path, message, hint, key=True)

    def _where(self, path: Path, scope: Scope, key: str) -> None:
        """Where a contract is: what the step says, or what is declared of the contract."""
        self._checks.template((*path, key), scope)
        check_address(self._checks, (*path, key))
        name = text_at(self._root, *path, "contract")
        found = contract_at(self._checks, name)
        if find(self._root, *path, key) is not None or found is None:
            return
        declared, node = found
        if text_at(node, "address") is None:
            message = f'nothing says where the contract "{name}" is'
            hint = (
                f"write {key} here, such as ${{{name}.address}} after a deploy, or address in evm.contracts"
            )
            self._checks.report((*path, "contract"), message, hint)
        self._checks.template((*declared, "address"), scope)

    def _interface(self, path: Path) -> Interface | None:
        """What the step's contract has; None when there is none, or when that is not known."""
        here = (*path, "contract")
        name = text_at(self._root, *here)
        if name is None:
            return None
        if name not in self._interfaces:
            found = contract_at(self._checks, name)
            self._interfaces[name] = interface_at(self._checks, found[0]) if found else None
        known = contract_names(self._checks)
        if name not in known and find(self._root, *EVM) is not None:
            message = f'there is no contract "{name}"{did_you_mean(name, known)}'
            self._checks.report(here, message, contracts_hint(known))
        return self._interfaces[name]

    def _function(self, path: Path, interface: Interface | None) -> None:
        items = self._items(path, "function", interface)
        if items:
            self._arguments(path, items, items[0].name)

    def _event(self, path: Path, interface: Interface | None) -> Declaration | None:
        items = self._items(path, "event", interface)
        return items[0] if items else None

    def _items(self, path: Path, kind: str, interface: Interface | None) -> list[Declaration]:
        """The functions or events that a step's key may mean; empty when that is unknown or has been reported."""
        here = (*path, kind)
        text = text_at(self._root, *here)
        if text is None:
            return []
        written: Declaration | None = None
        if "(" in text:
            try:
                written = from_text(text, kind)
            except AbiError as error:
                self._checks.report(here, error.message, error.hint)
                return []
        if text_at(self._root, *path, "contract") is None:
            if written is None:
                message = f"without a contract, a name alone does not say what {text} is"
                self._checks.report(here, message, f"write its signature, such as {_EXAMPLES[kind]}")
            return [written] if written else []
        if interface is None:
            return [written] if written else []
        found = interface.named(kind, text)
        if not found:
            known = interface.names(kind)
            name = written.signature if written else text
            message = f'the contract has no {kind} "{name}"{did_you_mean(name, known)}'
            self._checks.report(here, message, one_of(known, f"{kind}s"))
        elif len(found) > 1:
            several = ", ".join(item.signature for item in found)
            self._checks.report(here, f'several {kind}s are named "{text}"', f"write one of {several}")
            return []
        return found

    def _arguments(self, path: Path, items: list[Declaration], what: str) -> None:
        item, here = items[0], (*path, "args")
        node = find(self._root, *here)
        takes = f"{what} takes {_counted(len(item.inputs))}" + (f": {item.signature}" if item.inputs else "")
        if isinstance(node, MapNode):
            unknown = [name for name in node.items if name not in item.names]
            missing = [name for name in item.names if name not in node.items]
            for name in unknown:
                message = f'{what} has no argument "{name}"{did_you_mean(name, item.names)}'
                self._checks.report(
                    (*here, name), message, one_of(item.names, "arguments") or takes, key=True
                )
            if missing and not unknown:
                message = f"{takes}, and without a name, or without a value here: {', '.join(filter(None, missing))}"
                self._checks.report(here, message, "name them all, or write a list in order", key=True)
            return
        given = len(node.items) if isinstance(node, ListNode) else 0
        if isinstance(node, Leaf) and node.value is not None:
            if not (isinstance(node.value, str) and node.value.startswith("${")):
                self._checks.report(here, "these are neither a list nor a mapping", "write a list in order")
            return
        if given != len(item.inputs):
            place = here if node is not None else path
            self._checks.report(
                place, f"{takes}, and {given} are given", "write one value for each", key=True
            )

    def _deployable(self, path: Path, interface: Interface) -> None:
        try:
            if interface.bytecode:
                return
        except AbiError as error:
            self._checks.report(path, error.message, error.hint)
            return
        message = "nothing says what the contract's bytecode is"
        hint = "let abi name the file that the compiler wrote, which has both, or write bytecode here"
        self._checks.report(path, message, hint)

    def _paid(self, path: Path, scope: Scope) -> None:
        self._checks.template((*path, "value"), scope)
        check_amount(self._checks, (*path, "value"))
        check_gas(self._checks, (*path, "gas"))
        check_fees(self._checks, (*path, "fees"))

    def _hex(self, path: Path) -> None:
        text = text_at(self._root, *path)
        if text is not None and "${" not in text and not _HEX.fullmatch(text):
            self._checks.report(
                path, f"{show(text)} is no data", "write 0x and an even number of hexadecimal digits"
            )

    def _block(self, path: Path, scope: Scope) -> None:
        self._checks.template(path, scope)
        self._number(path, _TAGS)

    def _number(self, path: Path, words: tuple[str, ...]) -> None:
        text = text_at(self._root, *path)
        if text is not None and "${" not in text and text not in words and not _NUMBER.fullmatch(text):
            hint = f"write a number{''.join(f', {word}' for word in words)}"
            self._checks.report(path, f"{show(text)} is no block", hint)


_EXAMPLES: Final = {
    "function": "function transfer(address,uint256) returns (bool)",
    "event": "event Transfer(address indexed from, address indexed to, uint256 value)",
}


def _counted(number: int) -> str:
    return f"{number or 'no'} argument{'' if number == 1 else 's'}"
