"""Which accounts a run has, all derived: the funders, one account per shard that they pay, and the wallets that it fills.

    funders[s % n] -> the account of shard s -> wallets s, s + shards, s + 2 x shards, ...

Each is used by one process at a time: a funder by the runner that runs setup, a shard's account and its wallets by the runner that carries
the shard. Nothing has to be stored or told to find the money again; whoever knows seed, funders and numbers knows every account.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from squall.expr import ExpressionError, compile_template
from squall.spec.quantities import whole
from squall_runner.engine.manifest import base_scope
from squall_runner.evm.money.wallets import Keys, ListedKeys, SeededKeys
from squall_runner.evm.signing.hexes import from_hex
from squall_runner.evm.signing.keys import ORDER, Key, WrongKeyError, funder_key, parse_key
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from squall_runner.engine.manifest import Manifest

_OF_RUN: Final = re.compile(r"\$\{[^}]*\brun\b")


@dataclass(frozen=True, slots=True)
class Tree:
    """The accounts of a run.

    Attributes:
        keys: Of the wallets.
        count: Wallets over all shards.
        shards: Of the run.
        funders: Who pays; empty when wallets use what they have.
        sub_seed: What the accounts of shards are derived from.
        helper: Deploys the contract for batches, where there is none; None without funders.
    """

    keys: Keys
    count: int
    shards: int
    funders: tuple[Key, ...]
    sub_seed: bytes
    helper: Key | None

    def funder_of(self, shard: int) -> Key:
        """Who pays a shard, and gets back what is left there."""
        return self.funders[shard % len(self.funders)]

    def shard_key(self, shard: int) -> Key:
        """The account that fills the wallets of a shard."""
        return funder_key(self.sub_seed, shard)

    def wallets_of(self, shard: int) -> range:
        """The numbers of a shard's wallets."""
        return range(shard, self.count, self.shards)

    @property
    def imported(self) -> bool:
        """Whether the wallets are somebody's own, from a file of keys, who may have had money in them before."""
        return isinstance(self.keys, ListedKeys)

    @property
    def fingerprint(self) -> str:
        """What tells two seeds apart, and tells nothing of them: the address of the first wallet, which is public anyway."""
        return self.keys.key(0).address

    def __repr__(self) -> str:
        return f"Tree(count={self.count}, shards={self.shards}, funders={len(self.funders)})"


def read_tree(manifest: Manifest) -> Tree | None:
    """The accounts that a manifest means; None when it has no wallets.

    Raises:
        LoadError: The seed or a key cannot be used; neither is repeated.
    """
    evm = manifest.spec.evm
    if evm is None or evm.wallets is None:
        return None
    texts = [
        rendered(manifest, text, "spec.evm.funding.keys")
        for text in (evm.funding.keys if evm.funding else ())
    ]
    funders = tuple(_funder(number, text) for number, text in enumerate(texts))
    _different(funders)
    first = from_hex(texts[0].strip()) if texts else b""
    seed = rendered(manifest, evm.wallets.seed, "spec.evm.wallets.seed").encode() if evm.wallets.seed else b""
    count = whole(evm.wallets.count)
    keys: Keys
    if evm.wallets.keys is not None:
        listed = _listed(manifest, evm.wallets.keys)
        keys, count = listed, min(count, len(listed))
    else:
        keys = SeededKeys(seed)
    if count < manifest.plan.shards:
        message = f"spec.evm.wallets: {count} wallets are too few for {manifest.plan.shards} shards, as each has its own"
        raise LoadError("WalletsTooFew", message, "raise count, add keys to the file, or use fewer shards")
    tree = Tree(
        keys=keys,
        count=count,
        shards=manifest.plan.shards,
        funders=funders,
        # Where keys come from a file, the funder's own key is all that there is to derive from.
        sub_seed=seed or first,
        helper=_helper(first) if first else None,
    )
    try:
        _ = tree.fingerprint
    except WrongKeyError as error:
        raise LoadError("KeyInvalid", f"spec.evm.wallets.seed: {error.message}", error.hint) from None
    return tree


def of_one_run(manifest: Manifest) -> bool:
    """Whether the wallets are those of this run only: the seed holds the run's id."""
    evm = manifest.spec.evm
    seed = evm.wallets.seed if evm is not None and evm.wallets is not None else None
    return seed is not None and _OF_RUN.search(seed) is not None


def _helper(secret: bytes) -> Key:
    """The same in every run and on every runner, so that the contract is deployed once on a chain."""
    number = int.from_bytes(hmac.digest(secret, b"squall/multicall", "sha256"), "big") % (ORDER - 1) + 1
    return Key(number.to_bytes(32, "big"))


def rendered(manifest: Manifest, text: str, where: str) -> str:
    """A text of `spec.evm` with its `${var.x}` and `${run.id}` filled in.

    Args:
        manifest: Whose it is.
        text: The text; what comes of it may be a secret.
        where: Its path, for messages.

    Raises:
        LoadError: It cannot be evaluated.
    """
    try:
        return compile_template(text, base_scope(manifest.base, manifest.secrets).with_secrets()).render(
            manifest.base
        )
    except ExpressionError as error:
        raise LoadError("ManifestInvalid", f"{where}: {error.message}", error.hint) from error


def _funder(number: int, text: str) -> Key:
    try:
        return parse_key(text)
    except WrongKeyError as error:
        raise LoadError(
            "KeyInvalid", f"spec.evm.funding.keys[{number}]: {error.message}", error.hint
        ) from None


def _different(funders: tuple[Key, ...]) -> None:
    """Two runs of nonces for one account would get in each other's way."""
    addresses = [funder.address for funder in funders]
    for number, address in enumerate(addresses):
        if address in addresses[:number]:
            message = f"spec.evm.funding.keys[{number}]: the account {address} is there twice"
            raise LoadError("KeyInvalid", message, "remove one of the two")


def _listed(manifest: Manifest, name: str) -> ListedKeys:
    path = manifest.files.get(name)
    if path is None:
        raise LoadError(
            "FileMissing", f"spec.evm.wallets.keys: there is no file {name!r}", "add it to spec.files"
        )
    try:
        keys = ListedKeys(Path(path).read_text("utf-8").splitlines())
    except WrongKeyError as error:
        raise LoadError("KeyInvalid", f"spec.evm.wallets.keys: {name}: {error.message}", error.hint) from None
    except UnicodeDecodeError:
        message = f"spec.evm.wallets.keys: {name} is no text"
        raise LoadError("KeyInvalid", message, "write one private key a line") from None
    except OSError as error:
        message = f"spec.evm.wallets.keys: {name} cannot be read: {error.strerror}"
        raise LoadError("FileMissing", message, "check spec.files") from error
    if not len(keys):
        message = f"spec.evm.wallets.keys: {name} has no key"
        raise LoadError("KeyInvalid", message, "write one private key a line")
    return keys
