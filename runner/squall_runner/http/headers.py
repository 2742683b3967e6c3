"""The header of a response, read only when somebody asks.

Most responses of a load test are judged by their status alone. So the connection keeps the raw bytes, and this
module takes them apart on first use. The parser has accepted the bytes by then: what is left is splitting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_END = b"\r\n\r\n"


def head_end(data: bytes | bytearray, interim: int = 0) -> int:
    """Returns the offset behind the empty line that ends the header, or -1 when it has not come yet.

    Args:
        data: The bytes of the response from its first one.
        interim: How many 1xx responses stand before the one that counts.
    """
    # A server may send empty lines before the status line (RFC 9112, section 2.2).
    at = len(data) - len(data.lstrip(b"\r\n"))
    for _ in range(interim + 1):
        found = data.find(_END, at)
        if found < 0:
            return -1
        at = found + 4
    return at


class Headers(Mapping[str, str]):
    """Header fields by name, case-insensitive. Repeated fields are joined with `, ` (RFC 9110, section 5.3)."""

    __slots__ = ("_lines", "_merged", "_version")

    def __init__(self, head: bytes, interim: int = 0) -> None:
        """Takes apart a header.

        Args:
            head: Bytes of the response from its first one to at least the end of the header.
            interim: How many 1xx responses stand before the one that counts.
        """
        end = head_end(head, interim)
        start = head_end(head, interim - 1) if interim else 0
        text = head[start : end - 4 if end >= 0 else len(head)].decode("latin-1").lstrip("\r\n")
        self._lines: list[tuple[str, str]] = []
        status, *lines = text.split("\r\n")
        self._version = status.partition(" ")[0]
        for line in lines:
            name, _, value = line.partition(":")
            self._lines.append((name.strip().lower(), value.strip(" \t")))
        self._merged: dict[str, str] = {}
        for name, value in self._lines:
            self._merged[name] = f"{self._merged[name]}, {value}" if name in self._merged else value

    def __getitem__(self, name: str) -> str:
        return self._merged[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged)

    def __len__(self) -> int:
        return len(self._merged)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._merged

    def __repr__(self) -> str:
        return f"Headers({self._lines})"

    def lines(self) -> list[tuple[str, str]]:
        """Returns all fields as they came: lower-case name and value, repeated ones apart."""
        return list(self._lines)

    def all(self, name: str) -> list[str]:
        """Returns the values of every field of that name, in order."""
        name = name.lower()
        return [value for key, value in self._lines if key == name]

    def end_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the body (RFC 9112, section 6.3, item 8)."""
        return "content-length" not in self and not self.get("transfer-encoding", "").lower().endswith(
            "chunked"
        )

    def keep_alive(self) -> bool:
        """Whether a response without a body leaves the connection open (RFC 9112, section 9.3)."""
        return self._version == "HTTP/1.1" and "close" not in self.get("connection", "").lower()
