"""The library of the expression language; importing this package registers all functions, in the reference's order."""

from __future__ import annotations

from squall.expr.functions import chance, encoding, fake, moments, numbers, texts

__all__ = ["chance", "encoding", "fake", "moments", "numbers", "texts"]
