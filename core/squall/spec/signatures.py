"""What a manifest says of contracts, as far as it can be judged without the libraries that encode for them.

Those are installed with runners for EVM chains alone. An operator, or who checks a manifest on a laptop, still wants to hear of a
function that a contract does not have, or of a type that there is none of. So this reads names, types and numbers of
arguments out of ABIs and signatures, and no more; what encodes reads all of it again.

Formats: the contract ABI's JSON (Solidity documentation, "Contract ABI Specification"), and the notation of Solidity's own source for
`function`, `event`, `error` and `constructor`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

_HEAD: Final = re.compile(r"\s*(?:(function|event|error|constructor)\b)?\s*([A-Za-z_$][A-Za-z0-9_$]*)?\s*\(")
_TYPE: Final = re.compile(
    r"(address|bool|string|function|bytes(?P<bytes>[0-9]+)?|(?:u?int)(?P<bits>[0-9]+)?)((\[[0-9]*\])*)"
)
_WORDS: Final = frozenset({"indexed", "memory", "calldata", "storage", "payable"})
_MODIFIERS: Final = (
    r"(?:\s*(?:external|public|internal|private|view|pure|payable|nonpayable|virtual|override)\b)*"
)
_TAILS: Final = {
    "function": re.compile(rf"{_MODIFIERS}(?:\s*returns\s*\(.*\))?\s*;?\s*", re.DOTALL),
    "constructor": re.compile(rf"{_MODIFIERS}\s*;?\s*"),
    "event": re.compile(r"\s*(?:anonymous)?\s*;?\s*"),
}
_PLAIN_TAIL: Final = re.compile(r"\s*;?\s*")
_MOST_BITS: Final = 256
_MOST_BYTES: Final = 32
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Item:
    """A function, event, error or constructor.

    Attributes:
        kind: `function`, `event`, `error` or `constructor`.
        name: Empty for a constructor.
        types: Of its arguments, as their signature has them.
        names: Of its arguments; empty texts for those without.
    """

    kind: str
    name: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def signature(self) -> str:
        """Name and types, `transfer(address,uint256)`: what tells it from others of the same name."""
        return f"{self.name}({','.join(self.types)})"


@dataclass(frozen=True, slots=True)
class Interface:
    """What a contract has.

    Attributes:
        items: In the order in which they are written.
        bytecode: Whether the file that says so has the contract's code too.
    """

    items: tuple[Item, ...]
    bytecode: bool = False

    def named(self, kind: str, text: str) -> list[Item]:
        """Those that a text means: all of this name, or the one with this signature."""
        own = [item for item in self.items if item.kind == kind]
        if "(" not in text:
            return [item for item in own if item.name == text]
        signature = parse_signature(text, kind).signature
        return [item for item in own if item.signature == signature]

    def names(self, kind: str) -> list[str]:
        """The names of a kind, each once."""
        return list(dict.fromkeys(item.name for item in self.items if item.kind == kind))


class SignatureError(ValueError):
    """A text is none of a function, event, error or constructor; the message says why."""


def parse_signature(text: str, kind: str = "") -> Item:
    """Read a signature as Solidity writes it, such as `event Done(uint256 indexed id)`.

    Args:
        text: The signature.
        kind: What it is where its first word does not say.

    Raises:
        SignatureError: It is none, or is of another kind.
    """
    head = _HEAD.match(text)
    if head is None:
        raise SignatureError("it has no name with arguments in parentheses")
    found = head[1] or ("constructor" if head[2] == "constructor" else kind or "function")
    if kind and found != kind:
        raise SignatureError(f"it is of {_a(found)}, and {_a(kind)} is wanted")
    name = head[2] or ""
    if not name and found != "constructor":
        raise SignatureError(f"the {found} has no name")
    inside, rest = _parenthesis(text, head.end())
    if not _TAILS.get(found, _PLAIN_TAIL).fullmatch(rest):
        raise SignatureError(f"what follows its arguments is not understood: {rest.strip()[:40]}")
    pairs = [_argument(part, 0) for part in _split(inside)]
    return Item(found, name, tuple(kind for kind, _ in pairs), tuple(name for _, name in pairs))


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _parenthesis(text: str, start: int) -> tuple[str, str]:
    """What stands between a parenthesis that opens before `start` and the one that closes it, and what follows."""
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if not depth:
            return text[start:at], text[at + 1 :]
    raise SignatureError("a parenthesis is not closed")


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    last = text[start:]
    return [*parts, last] if parts or last.strip() else []


def _argument(text: str, depth: int) -> tuple[str, str]:
    """Type and name of one argument."""
    text = text.strip()
    if depth > _DEEPEST:
        raise SignatureError("its tuples are nested too deep")
    if text.startswith(("(", "tuple(", "tuple (")):
        inside, rest = _parenthesis(text, text.index("(") + 1)
        types = ",".join(_argument(part, depth + 1)[0] for part in _split(inside))
        array = re.match(r"(\[[0-9]*\])*", rest)
        suffix = array[0] if array else ""
        return f"({types}){suffix}", _name(rest[len(suffix) :])
    kind, _, rest = text.partition(" ")
    return _elementary(kind), _name(rest)


def _name(text: str) -> str:
    words = [word for word in text.split() if word not in _WORDS]
    if len(words) > 1:
        raise SignatureError(f"an argument has a type and a name, and this has more: {' '.join(words)[:40]}")
    return words[0] if words else ""


def _elementary(text: str) -> str:
    """A type as signatures have it: `uint` is `uint256`."""
    found = _TYPE.fullmatch(text)
    if found is None:
        raise SignatureError(
            f'"{text[:40]}" is no type; types are uint256, address, bytes32, string[] and the like'
        )
    if (size := found["bytes"]) is not None and not 1 <= int(size) <= _MOST_BYTES:
        raise SignatureError(f"{text[:40]} is no type: bytes1 to bytes32 are, and bytes")
    if (bits := found["bits"]) is not None and not (8 <= int(bits) <= _MOST_BITS and int(bits) % 8 == 0):
        raise SignatureError(f"{text[:40]} is no type: integers have 8, 16, and so on up to 256 bits")
    return re.sub(r"int(?![0-9])", "int256", text)


def read_interface(content: bytes) -> Interface:
    """Read a file with an ABI: the list itself, or what a compiler wrote, with its `abi`.

    Raises:
        SignatureError: It holds none.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SignatureError(f"it is no JSON: {error}") from None
    listed = data.get("abi") if isinstance(data, dict) else data
    if not isinstance(listed, list):
        raise SignatureError("it is neither a list nor a mapping with a list under abi")
    items = tuple(
        found for number, each in enumerate(listed) if (found := _listed(each, f"[{number}]")) is not None
    )
    return Interface(items, bytecode=isinstance(data, dict) and bool(_code(data)))


def _code(data: dict[str, Any]) -> str:
    """The bytecode in what a compiler wrote: solc, Hardhat, Foundry and Truffle each have a place of their own."""
    evm = data.get("evm")
    found = (
        data.get("bytecode") or (evm.get("bytecode") if isinstance(evm, dict) else None) or data.get("bin")
    )
    found = found.get("object") if isinstance(found, dict) else found
    return found if isinstance(found, str) and found not in {"0x", ""} else ""


def _listed(entry: Any, place: str) -> Item | None:
    """One entry of an ABI; None for those that nobody calls by name."""
    if not isinstance(entry, dict):
        raise SignatureError(f"its entry {place} is no mapping")
    kind = entry.get("type", "function")
    if kind not in {"function", "event", "error", "constructor"}:
        return None
    name, inputs = entry.get("name", ""), entry.get("inputs", [])
    if not isinstance(name, str) or not isinstance(inputs, list) or (not name and kind != "constructor"):
        raise SignatureError(f"its entry {place} has no name or no list of inputs")
    pairs = [_input(each, place, 0) for each in inputs]
    return Item(kind, name, tuple(kind for kind, _ in pairs), tuple(name for _, name in pairs))


def _input(entry: Any, place: str, depth: int) -> tuple[str, str]:
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or depth > _DEEPEST:
        raise SignatureError(f"its entry {place} has an input without a type")
    name = str(entry.get("name") or "")
    if not kind.startswith("tuple"):
        return _elementary(kind), name
    parts = entry.get("components")
    if not isinstance(parts, list):
        raise SignatureError(f"its entry {place} has a tuple without components")
    return f"({','.join(_input(each, place, depth + 1)[0] for each in parts)}){kind[5:]}", name
