"""What a contract's interface consists of, from both ways in which people have it: compiler's JSON and human-readable signatures.

Whoever checks a manifest and whoever encodes for a chain read it here, so that both understand the same. It needs none of the libraries
that encode, which are installed with runners for EVM chains alone.

Formats: https://docs.soliditylang.org/en/latest/abi-spec.html#json for JSON; signatures are Solidity's own words, and those of the
notation that ethers made common:

    function f(address to, tuple(uint256 a, string b)[] xs) payable returns (uint256)
    f(address,uint256)                      a function, too
    event E(address indexed who, uint256 id)
    error X(uint256)
    constructor(address)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from squall.errors import SquallError


class AbiError(SquallError):
    """An interface, an argument or a result is not as it must be."""


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value.

    Attributes:
        base: Without the sizes of arrays, such as `uint256` or `tuple`.
        sizes: Of arrays, the innermost first; None where any length will do.
        components: Of a tuple.
    """

    base: str
    sizes: tuple[int | None, ...] = ()
    components: tuple[Parameter, ...] = ()

    @property
    def canonical(self) -> str:
        """As signatures are hashed: tuples as `(address,string)`."""
        base = listed(self.components) if self.base == "tuple" else self.base
        return base + "".join(f"[{'' if size is None else size}]" for size in self.sizes)

    @property
    def element(self) -> Type:
        """Of an array, the type of its elements."""
        return Type(self.base, self.sizes[:-1], self.components)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, a result or a component of a tuple; `name` may be empty."""

    name: str
    type: Type
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """One entry of an interface.

    Attributes:
        kind: `function`, `event`, `error` or `constructor`.
        mutability: `payable`, `nonpayable`, `view` or `pure`; empty when it was not said.
    """

    kind: str
    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...] = ()
    mutability: str = ""
    anonymous: bool = False

    @property
    def signature(self) -> str:
        """Name and types, as they are hashed: `f(address,uint256)`."""
        return self.name + listed(self.inputs)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its parameters; empty texts for those without."""
        return tuple(parameter.name for parameter in self.inputs)


def listed(parameters: tuple[Parameter, ...]) -> str:
    """The types of parameters in parentheses."""
    return f"({','.join(parameter.type.canonical for parameter in parameters)})"


_KINDS: Final = ("function", "event", "error", "constructor")
_UNCALLED: Final = ("fallback", "receive")
_MUTABILITIES: Final = ("payable", "nonpayable", "view", "pure")
_CALLED: Final = frozenset(
    (*_MUTABILITIES, "external", "public", "internal", "private", "virtual", "override")
)
_WORDS: Final = {
    "function": _CALLED | {"returns"},
    "constructor": _CALLED,
    "event": {"anonymous"},
    "error": set[str](),
}
"""What may follow the parameters."""
_TOKEN = re.compile(r"\s*([A-Za-z_$][\w$]*|[0-9]+|[()\[\],;])", re.ASCII)
_ELEMENTARY = re.compile(r"address|bool|string|function|bytes([0-9]*)|u?int([0-9]*)")
_DEEPEST: Final = 32
_OTHER_NAMES: Final = {"uint": "uint256", "int": "int256", "byte": "bytes1"}


def from_text(text: str, kind: str = "") -> Declaration:
    """Read a human-readable signature.

    Args:
        text: The signature.
        kind: What it has to be, also where its first word does not say; empty: what its first word says, or a function.

    Raises:
        AbiError: It is none, or of another kind; the message shows where.
    """
    found = _Reader(text).declaration(kind or "function")
    if kind and found.kind != kind:
        raise AbiError(
            f"{text!r:.200} is the signature of {_a(found.kind)}", f"write {kind} {found.signature}"
        )
    return found


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def from_json(entry: Any) -> Declaration | None:
    """Read one entry of a compiler's JSON; None for `fallback` and `receive`, which nobody calls by name.

    Raises:
        AbiError: It is none.
    """
    if isinstance(entry, str):
        return from_text(entry)
    if not isinstance(entry, dict):
        raise AbiError(
            f"an entry of the ABI is {entry!r:.80}", "write an object as compilers do, or a signature as text"
        )
    kind = entry.get("type", "function")
    if kind in _UNCALLED:
        return None
    name = entry.get("name", "")
    if kind not in _KINDS or not isinstance(name, str) or not (name or kind == "constructor"):
        raise AbiError(
            f"an entry of the ABI has type {kind!r:.80} and name {name!r:.80}",
            "types are " + ", ".join(_KINDS),
        )
    mutability = entry.get("stateMutability") or _older_mutability(entry)
    return Declaration(
        kind,
        name,
        _json_parameters(entry.get("inputs"), name or kind),
        _json_parameters(entry.get("outputs"), name or kind),
        mutability,
        bool(entry.get("anonymous")),
    )


def _older_mutability(entry: dict[str, Any]) -> str:
    """Before Solidity 0.6 there were two flags."""
    return "payable" if entry.get("payable") else "view" if entry.get("constant") else ""


def _json_parameters(entries: Any, where: str) -> tuple[Parameter, ...]:
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise AbiError(
            f"the parameters of {where} in the ABI are {entries!r:.80}", "write a list, as compilers do"
        )
    return tuple(_json_parameter(entry, where) for entry in entries)


def _json_parameter(entry: Any, where: str) -> Parameter:
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise AbiError(
            f"a parameter of {where} in the ABI is {entry!r:.80}", "write an object with `name` and `type`"
        )
    base, bracket, rest = entry["type"].partition("[")
    components = _json_parameters(entry.get("components"), where) if base == "tuple" else ()
    return Parameter(
        entry.get("name") or "",
        Type(base if base == "tuple" else elementary(base, where), _sizes(bracket + rest, where), components),
        bool(entry.get("indexed")),
    )


def _sizes(text: str, where: str) -> tuple[int | None, ...]:
    if not re.fullmatch(r"(\[[0-9]*\])*", text):
        raise AbiError(
            f"a type of {where} ends in {text!r:.80}", "arrays are written as uint256[] or uint256[4]"
        )
    return tuple(int(size) if size else None for size in re.findall(r"\[([0-9]*)\]", text))


def elementary(word: str, where: str) -> str:
    """The full name of a type that is no tuple and no array: `uint` is `uint256`.

    Raises:
        AbiError: There is no such type.
    """
    name = _OTHER_NAMES.get(word, word)
    match = _ELEMENTARY.fullmatch(name)
    if match:
        size, bits = match.groups()
        if not size and not bits:
            return name
        if size and not size.startswith("0") and int(size) <= 32:
            return name
        if bits and not bits.startswith("0") and int(bits) <= 256 and int(bits) % 8 == 0:
            return name
    raise AbiError(
        f"{where}: {word!r:.80} is not a type of the ABI",
        "types are address, bool, string, bytes, bytes1 to bytes32, uint8 to uint256, int8 to int256, tuple(...) and arrays of them; "
        "a struct is written as tuple(...), a contract as address, an enum as uint8",
    )


class _Reader:
    """Reads one signature, token by token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._wrong(f"has {text[at:].strip()[0]!r} in it")
            self._tokens.append(match.group(1))
            at = match.end()
        depths = accumulate({"(": 1, ")": -1}.get(token, 0) for token in self._tokens)
        if max(depths, default=0) > _DEEPEST:
            raise self._wrong(f"is nested more than {_DEEPEST} deep")
        self._tokens.reverse()

    def declaration(self, otherwise: str) -> Declaration:
        """What it declares; `otherwise` is the kind of what does not say its own."""
        kind = (
            self._next()
            if self._peek() in _KINDS and (self._after() or self._peek() == "constructor")
            else otherwise
        )
        name = "" if kind == "constructor" else self._name("a name")
        inputs = self._parameters()
        words: list[str] = []
        outputs: tuple[Parameter, ...] = ()
        while (word := self._peek()) not in ("", ";"):
            self._next()
            if word not in _WORDS[kind]:
                raise self._wrong(f"goes on with {word!r} after its end")
            if word == "returns":
                outputs = self._parameters()
            else:
                words.append(word)
        mutability = next((word for word in words if word in _MUTABILITIES), "")
        return Declaration(kind, name, inputs, outputs, mutability, anonymous="anonymous" in words)

    def _parameters(self) -> tuple[Parameter, ...]:
        self._expect("(")
        found: list[Parameter] = []
        while self._peek() != ")":
            if found:
                self._expect(",")
            found.append(self._parameter())
        self._next()
        return tuple(found)

    def _parameter(self) -> Parameter:
        base, components = self._base()
        sizes: list[int | None] = []
        while self._peek() == "[":
            self._next()
            sizes.append(int(self._next()) if self._peek().isdecimal() else None)
            self._expect("]")
        words = []
        while self._peek() not in (",", ")"):
            words.append(self._name("a name, a comma or a closing parenthesis"))
        indexed = "indexed" in words
        names = [
            word for word in words if word not in ("indexed", "memory", "calldata", "storage", "payable")
        ]
        if len(names) > 1:
            raise self._wrong(f"has a parameter with two names, {names[0]!r} and {names[1]!r}")
        return Parameter(names[0] if names else "", Type(base, tuple(sizes), components), indexed)

    def _base(self) -> tuple[str, tuple[Parameter, ...]]:
        if self._peek() == "tuple":
            self._next()
            return "tuple", self._parameters()
        if self._peek() == "(":
            return "tuple", self._parameters()
        return elementary(self._name("a type"), f"the signature {self._text!r:.200}"), ()

    def _peek(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def _after(self) -> bool:
        """Whether a name follows what comes next, so that the latter is no name itself."""
        return len(self._tokens) > 1 and self._tokens[-2] != "("

    def _next(self) -> str:
        return self._tokens.pop() if self._tokens else ""

    def _name(self, wanted: str) -> str:
        word = self._next()
        if not re.fullmatch(r"[A-Za-z_$][\w$]*", word, re.ASCII):
            raise self._wrong(
                f"has {word!r} where {wanted} must stand" if word else f"ends where {wanted} must stand"
            )
        return word

    def _expect(self, mark: str) -> None:
        word = self._next()
        if word != mark:
            raise self._wrong(
                f"has {word!r} where {mark!r} must stand" if word else f"ends where {mark!r} must stand"
            )

    def _wrong(self, what: str) -> AbiError:
        return AbiError(
            f"the signature {self._text!r:.200} {what}",
            "write for example function transfer(address to, uint256 amount) returns (bool), or event Sent(address indexed to)",
        )
