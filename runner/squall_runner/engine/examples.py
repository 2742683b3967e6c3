"""One example of each failure for the run's log, however many there are.

A million failures must neither fill the disk nor hide each other. What a failure is called comes from the manifest and
a fixed set of classes, so the number of examples is bounded by the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_EXAMPLES: Final = 1_000
_MAX_MESSAGE: Final = 500


class Examples:
    """Passes on the first failure of each kind.

    Args:
        note: Writes to the run's log, see `Hooks.note`.
        mask: Hides secrets in a text.

    Attributes:
        last: The latest failure that was passed on, as one sentence; empty before any.
    """

    __slots__ = ("_mask", "_note", "_seen", "last")

    def __init__(self, note: Callable[..., None], mask: Callable[[str], str]) -> None:
        self._note = note
        self._mask = mask
        self._seen: set[tuple[str, str, str]] = set()
        self.last = ""

    def keep(self, error: str, scenario: str, step: str, message: str, hint: str = "") -> None:
        """Note a failure, unless there was one like it."""
        key = (error, scenario, step)
        if key in self._seen or len(self._seen) >= _MAX_EXAMPLES:
            return
        self._seen.add(key)
        fields = {"error": error, "scenario": scenario, "step": step, "message": self._text(message)}
        if hint:
            fields["hint"] = self._text(hint)
        self.last = f"{step}: {fields['message']}" if step else fields["message"]
        self._note("warning", "step_failed", **fields)

    def log(self, scenario: str, step: str, message: str, fields: dict[str, Any]) -> None:
        """Pass on what a user's function says, the first time it says it."""
        key = ("log", f"{scenario}/{step}", message)
        if key in self._seen or len(self._seen) >= _MAX_EXAMPLES:
            return
        self._seen.add(key)
        shown = {f"user_{name}": self._text(str(value)) for name, value in fields.items()}
        self._note("info", "python_log", scenario=scenario, step=step, message=self._text(message), **shown)

    def _text(self, text: str) -> str:
        return self._mask(text)[:_MAX_MESSAGE]
