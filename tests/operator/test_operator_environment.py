"""Every option of the operator can be given as the environment variable of its name, as manifests do it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from squall_operator.main import main

OPTIONS = [
    (each, option)
    for each in main.params
    for option in each.opts
    if isinstance(each, click.Option) and option not in ("--help", "--version")
]


@pytest.mark.parametrize(("parameter", "option"), OPTIONS, ids=[option for _, option in OPTIONS])
def test_an_option_has_a_variable_of_its_name(
    parameter: click.Option, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SQUALL_{option[2:].replace('-', '_').upper()}", "a value")
    context = main.make_context("squall-operator", [], resilient_parsing=True)
    assert parameter.resolve_envvar_value(context) == "a value"


def test_several_values_are_separated_by_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUALL_HUB", "http://a:1 http://b:1")
    context = main.make_context("squall-operator", ["--key-file", "k", "--runner-image", "i"])
    assert context.params["hubs"] == ("http://a:1", "http://b:1")


def test_an_empty_key_opens_nothing(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("\n", encoding="ascii")
    told = CliRunner().invoke(
        main, ["--hub", "http://hub:1", "--runner-image", "i", "--key-file", str(key), "--listen", "x"]
    )
    assert told.exit_code == 1
    assert f"{key} is empty" in told.output
