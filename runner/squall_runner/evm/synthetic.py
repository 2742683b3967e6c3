"""Data of users who do not exist: what a data network's load test uploads.

A profile, preferences, purchases and a log of activity as JSON, of exactly the size that is wanted and the same for the same seed. It is
written as text at once, record by record, as a user with 100 KiB has a thousand of them. The run's id is in it, so that what a test
left behind can be told from what is real.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from squall.errors import SquallError

if TYPE_CHECKING:
    from random import Random

_FIRST_NAMES: Final = (
    "Ada",
    "Bela",
    "Chidi",
    "Dana",
    "Emre",
    "Freya",
    "Goran",
    "Hana",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
)
_LAST_NAMES: Final = (
    "Abe",
    "Berg",
    "Costa",
    "Diaz",
    "Eze",
    "Fink",
    "Gruber",
    "Hale",
    "Ito",
    "Jansen",
    "Kaya",
    "Lund",
)
_COUNTRIES: Final = ("AT", "BR", "DE", "ES", "GH", "IN", "JP", "KE", "NO", "PT", "TR", "US")
_LANGUAGES: Final = ("de", "en", "es", "hi", "ja", "pt", "sw", "tr")
_INTERESTS: Final = (
    "cooking",
    "cycling",
    "films",
    "gardening",
    "hiking",
    "music",
    "photography",
    "reading",
    "sailing",
)
_ACTIONS: Final = ("login", "search", "view", "like", "share", "comment", "upload", "logout")
_PAGES: Final = ("home", "catalogue", "article", "profile", "basket", "messages", "settings", "help")
_DEVICES: Final = ("phone", "tablet", "laptop", "television")
_ARTICLES: Final = (
    "backpack",
    "book",
    "camera",
    "chair",
    "headphones",
    "kettle",
    "lamp",
    "shoes",
    "tent",
    "watch",
)
_CURRENCIES: Final = ("EUR", "GBP", "JPY", "USD")

_FIRST_MOMENT: Final = 1_735_689_600
"""2025-01-01T00:00:00Z; moments are counted from there, as no clock is read."""
_SPAN: Final = 31_536_000
_ACTIVITIES_PER_PURCHASE: Final = 4


def generate_user_data(size: int, rng: Random, *, run: str, user: str | int) -> bytes:
    """Data of one user, as JSON in ASCII.

    Args:
        size: Length of the result in bytes.
        rng: Where chance comes from.
        run: The run's id.
        user: Who it is, such as the wallet's address.

    Raises:
        SquallError: `size` is too small for a profile; the message says how much it takes.
    """
    metadata = {"kind": "synthetic", "format": 1, "run": run, "user": user, "bytes": size}
    head = json.dumps({"metadata": metadata, "profile": _profile(rng), "preferences": _preferences(rng)})[:-1]
    parts = (head, ', "purchases": [', '], "activity": [', '], "notes": "', '"}')
    room = size - sum(map(len, parts))
    if room < 0:
        raise SquallError(
            f"{size} bytes do not hold a user's data", f"write a size of {size - room} bytes or more"
        )
    purchases, activities, room = _records(room, rng)
    notes = _notes(room, rng)
    return "".join(
        (head, parts[1], ", ".join(purchases), parts[2], ", ".join(activities), parts[3], notes, parts[4])
    ).encode("ascii")


def _records(room: int, rng: Random) -> tuple[list[str], list[str], int]:
    """As many records as there is room for, and what room is left."""
    purchases: list[str] = []
    activities: list[str] = []
    while True:
        records, draw = (
            (activities, _activity)
            if len(activities) < _ACTIVITIES_PER_PURCHASE * (len(purchases) + 1)
            else (purchases, _purchase)
        )
        record = draw(rng)
        length = len(record) + (2 if records else 0)
        if length > room:
            return purchases, activities, room
        records.append(record)
        room -= length


def _notes(length: int, rng: Random) -> str:
    """Words to fill what is left."""
    words = ""
    while len(words) < length:
        words += _one(_INTERESTS, rng) + " "
    return words[:length]


def _one(items: tuple[str, ...], rng: Random) -> str:
    return items[int(rng.random() * len(items))]


def _profile(rng: Random) -> dict[str, object]:
    first, last = _one(_FIRST_NAMES, rng), _one(_LAST_NAMES, rng)
    return {
        "name": f"{first} {last}",
        "email": f"{first}.{last}.{int(rng.random() * 1e6)}@example.com".lower(),
        "born": 1940 + int(rng.random() * 66),
        "country": _one(_COUNTRIES, rng),
        "interests": sorted({_one(_INTERESTS, rng) for _ in range(3)}),
    }


def _preferences(rng: Random) -> dict[str, object]:
    return {
        "language": _one(_LANGUAGES, rng),
        "currency": _one(_CURRENCIES, rng),
        "newsletter": rng.random() < 0.5,
        "theme": _one(("dark", "light"), rng),
    }


def _moment(rng: Random) -> int:
    return _FIRST_MOMENT + int(rng.random() * _SPAN)


def _activity(rng: Random) -> str:
    return (
        f'{{"at": {_moment(rng)}, "action": "{_one(_ACTIONS, rng)}", "page": "{_one(_PAGES, rng)}", '
        f'"device": "{_one(_DEVICES, rng)}", "seconds": {int(rng.random() * 600)}}}'
    )


def _purchase(rng: Random) -> str:
    return (
        f'{{"at": {_moment(rng)}, "article": "{_one(_ARTICLES, rng)}", "quantity": {1 + int(rng.random() * 3)}, '
        f'"price": {int(rng.random() * 20000) / 100:.2f}, "currency": "{_one(_CURRENCIES, rng)}"}}'
    )
