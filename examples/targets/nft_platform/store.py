"""The platform's data: users, assets, NFTs, listings and subscriptions.

They are kept in SQLite, so that what was sent can be checked after a test.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from typing import Any

_TABLES = """
create table users (id integer primary key, email text unique not null, password text not null);
create table tokens (token text primary key, user integer not null);
create table assets (id integer primary key, user integer not null, name text, type text, sha256 text, content blob);
create table nfts (id integer primary key, user integer not null, asset integer, title text, description text);
create table listings (id integer primary key, nft integer not null, price real not null, duration text not null);
create table subscriptions (id integer primary key, user integer not null, plan text not null, active integer);
create index nft_titles on nfts (title);
"""


class ConflictError(Exception):
    """What was asked for contradicts what is stored."""


class Store:
    """All data of the platform."""

    def __init__(self, database: str = ":memory:") -> None:
        self._db = sqlite3.connect(database, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("pragma synchronous = off")
        self._db.execute("pragma journal_mode = memory")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def seed(self, token: str) -> None:
        """A user with a fixed token and a few NFTs, so that reading works from the start."""
        user = self.sign_up("loadtest@example.com", "loadtest")
        self._insert("tokens", token=token, user=user)
        for number in range(1, 101):
            self.mint(user, None, f"Genesis {number}", "One of the first.")

    def _insert(self, table: str, **values: Any) -> int:
        places = ", ".join("?" for _ in values)
        done = self._db.execute(
            f"insert into {table} ({', '.join(values)}) values ({places})", tuple(values.values())
        )
        return int(done.lastrowid or 0)

    def _one(self, query: str, *values: Any) -> sqlite3.Row | None:
        row = self._db.execute(query, values).fetchone()
        return row if isinstance(row, sqlite3.Row) else None

    def sign_up(self, email: str, password: str) -> int:
        """A new user's id. Raises ConflictError when the address is taken."""
        try:
            return self._insert("users", email=email, password=_hash(password))
        except sqlite3.IntegrityError:
            raise ConflictError(f"{email} is registered already") from None

    def log_in(self, email: str, password: str) -> str | None:
        """A new token, or None when address or password are wrong."""
        row = self._one("select id from users where email = ? and password = ?", email, _hash(password))
        return self.token_for(row["id"]) if row else None

    def token_for(self, user: int) -> str:
        """A new token."""
        token = secrets.token_urlsafe(24)
        self._insert("tokens", token=token, user=user)
        return token

    def user_of(self, token: str) -> int | None:
        """Whose token it is."""
        row = self._one("select user from tokens where token = ?", token)
        return int(row["user"]) if row else None

    def upload(self, user: int, name: str, kind: str, content: bytes) -> int:
        """Keep a file."""
        digest = hashlib.sha256(content).hexdigest()
        return self._insert("assets", user=user, name=name, type=kind, sha256=digest, content=content)

    def mint(self, user: int, asset: int | None, title: str, description: str) -> int:
        """A new NFT's id. Raises ConflictError when the asset does not exist."""
        if asset is not None and self._one("select id from assets where id = ?", asset) is None:
            raise ConflictError(f"there is no asset {asset}")
        return self._insert("nfts", user=user, asset=asset, title=title, description=description)

    def nfts(self, text: str = "", page: int = 1, size: int = 20) -> tuple[list[dict[str, Any]], int]:
        """One page of the NFTs whose title begins with a text, newest first, and how many there are in all."""
        pattern = f"{text}%"
        rows = self._db.execute(
            "select id, title, description from nfts where title like ? order by id desc limit ? offset ?",
            (pattern, size, (page - 1) * size),
        ).fetchall()
        if not text:
            count = self._one("select coalesce(max(id), 0) as n from nfts")
        else:
            count = self._one("select count(*) as n from nfts where title like ?", pattern)
        return [dict(row) for row in rows], int(count["n"]) if count else 0

    def list_for_sale(self, nft: int, price: float, duration: str) -> int:
        """A new listing's id. Raises ConflictError when the NFT does not exist."""
        if self._one("select id from nfts where id = ?", nft) is None:
            raise ConflictError(f"there is no NFT {nft}")
        return self._insert("listings", nft=nft, price=price, duration=duration)

    def subscribe(self, user: int, plan: str) -> int:
        """A new subscription's id."""
        return self._insert("subscriptions", user=user, plan=plan, active=1)

    def cancel(self, user: int, subscription: int) -> bool:
        """Whether there was such a subscription to cancel."""
        done = self._db.execute(
            "update subscriptions set active = 0 where id = ? and user = ? and active = 1",
            (subscription, user),
        )
        return done.rowcount == 1

    def counts(self) -> dict[str, int]:
        """How many of everything there are, to be compared with what was sent."""
        tables = ("users", "assets", "nfts", "listings", "subscriptions")
        found = {}
        for table in tables:
            row = self._one(f"select count(*) as n from {table}")
            found[table] = int(row["n"]) if row else 0
        return found


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
