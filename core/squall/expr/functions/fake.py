"""Invented people, places and texts, from Faker.

Only methods of the table can be called: Faker's providers also reach files, other generators and unbounded
repetition. The names are known without Faker, so that a manifest is checked where only the core is installed.
Faker draws from the VU's generator, like `random.*`.
"""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from squall.expr.errors import EvaluationError
from squall.expr.registry import function
from squall.expr.scope import RNG

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_MAX_COUNT = 10_000

_PLAIN = {
    "name": "First and last name",
    "first_name": "First name",
    "last_name": "Last name",
    "prefix": "Title before a name",
    "job": "Occupation",
    "user_name": "Name of an account",
    "email": "Mail address under a reserved domain",
    "company": "Name of a company",
    "company_email": "Mail address at a company",
    "catch_phrase": "Slogan",
    "phone_number": "Telephone number",
    "address": "Postal address, with a line break",
    "street_address": "Street and number",
    "street_name": "Street",
    "building_number": "Number of a house",
    "city": "Town",
    "country": "Country",
    "country_code": "Country code of two letters",
    "postcode": "Postal code",
    "latitude": "Latitude in degrees",
    "longitude": "Longitude in degrees",
    "domain_name": "Name of a domain",
    "url": "Address of a web page",
    "uri_path": "Path of a URL",
    "slug": "Words joined by hyphens",
    "ipv4": "IPv4 address",
    "ipv6": "IPv6 address",
    "mac_address": "Hardware address",
    "user_agent": "User agent of a browser",
    "word": "Word",
    "color_name": "Name of a colour",
    "hex_color": "Colour such as #a0b1c2",
    "currency_code": "Currency code of three letters",
    "credit_card_number": "Card number with a valid check digit",
    "iban": "International bank account number",
    "ean13": "Product number of thirteen digits",
    "file_name": "Name of a file",
    "mime_type": "Media type",
    "language_code": "Language code",
    "boolean": "True or false",
}
_COUNTED = {
    "password": ("length", 12, "Password of so many characters"),
    "sentence": ("nb_words", 6, "Sentence of about so many words"),
    "paragraph": ("nb_sentences", 3, "Paragraph of about so many sentences"),
    "text": ("max_nb_chars", 200, "Text of at most so many characters, 5 or more"),
}


@functools.cache
def _generator() -> Any:
    try:
        from faker import Faker  # noqa: PLC0415 - takes 100 ms, and is an extra of the runner
    except ImportError:
        raise EvaluationError("fake.* needs Faker", "pip install 'squall[runner]'") from None
    return Faker(use_weighting=False).factories[0]


def _draw(rng: Random, method: str, **arguments: int) -> Any:
    generator = _generator()
    # One generator serves all VUs; it keeps nothing between calls but the source it draws from.
    generator.random = rng
    value = getattr(generator, method)(**arguments)
    return float(value) if isinstance(value, Decimal) else value


def _plain(method: str) -> Callable[[Random], Any]:
    def call(rng: Random) -> Any:
        return _draw(rng, method)

    return call


def _counted(method: str, parameter: str, default: int) -> Callable[[Random, Any], Any]:
    def call(rng: Random, count: Any = default) -> Any:
        if not isinstance(count, int) or not 1 <= count <= _MAX_COUNT:
            raise ValueError(f"fake.{method}: the number must lie between 1 and {_MAX_COUNT}")
        return _draw(rng, method, **{parameter: count})

    return call


for _name, _doc in _PLAIN.items():
    function(f"fake.{_name}", f"{_doc}.", context=RNG, library=_generator)(_plain(_name))
for _name, (_parameter, _default, _doc) in _COUNTED.items():
    function(f"fake.{_name}", f"{_doc}.", context=RNG, library=_generator)(
        _counted(_name, _parameter, _default)
    )
