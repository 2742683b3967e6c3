"""The classes of failures are few, told in one table, and each of them comes with advice."""

from __future__ import annotations

from support.documentation import section, tables
from support.manifests import ROOT

from squall.report.findings import _ERROR_ADVICE
from squall_runner.http import errors

REQUESTS = {
    value
    for name, value in vars(errors).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
}


def test_every_class_of_a_request_has_advice_in_the_report() -> None:
    assert REQUESTS | {"http_4xx", "http_5xx"} <= set(_ERROR_ADVICE)


def test_the_table_says_of_every_class_what_happened_and_what_to_do() -> None:
    page = ROOT / "docs" / "scenarios.md"
    table = next(each for each in tables(section(page, "http")) if each[0][0] == "class")
    assert table[0] == ["class", "what happened", "what to do"]
    assert all(len(cells) == 3 and all(cells) for cells in table)
    told = [word for cells in table[1:] for word in cells[0].split(", ")]
    assert len(told) == len(set(told))
    assert set(told) >= REQUESTS
