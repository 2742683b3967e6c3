"""`squall validate`: text for people, JSON for editors, exit code for pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.problems import manifest, write

from squall.cli.main import cli


def validate(*arguments: str, text: str | None = None, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["validate", *arguments], input=text, env=env, standalone_mode=False)


def test_a_valid_file_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", manifest())
    result = validate(file)
    assert result.return_value == 0
    assert result.output == f"{file}: LoadTest shop is valid\n"


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    one = write(tmp_path / "a.yaml", manifest("http: {timeuot: 1s}\nshards: 0"))
    two = write(tmp_path / "b.yaml", "a: [1\n")
    result = validate(one, two)
    assert result.return_value == 104
    assert result.stdout == ""
    assert (
        f'{one}:5:10: spec.http.timeuot: unknown key "timeuot"; did you mean "timeout"?\n    valid here: '
        in result.stderr
    )
    assert f"{one}:6:11: spec.shards: 0 is too small\n    the least is 1\n" in result.stderr
    assert f"{two}:1:4: not valid YAML: a list in [ ] is not closed" in result.stderr
    assert result.stderr.endswith("3 problems in 2 files\n")


def test_a_hostile_manifest_gives_no_orders_to_the_terminal(tmp_path: Path) -> None:
    orders = r"\e]0;owned\a\e[2J\x9b2J\u202e"
    file = write(tmp_path / "a.yaml", manifest(f'"{orders}": 1\nhttp: {{baseUrl: "http://${{{orders}}}"}}'))
    # As on a terminal: where there is none, click leaves colours away.
    result = CliRunner().invoke(cli, ["validate", file], color=True, standalone_mode=False)
    assert result.return_value == 104
    assert "owned" in result.stderr
    assert not set("\x1b\x07\x9b\u202e") & set(result.stderr)


def test_standard_input() -> None:
    assert "<stdin>: LoadTest shop is valid" in validate("-", text=manifest()).output
    assert "<stdin>:5:11: spec.shards" in validate("-", text=manifest("shards: 0")).stderr


def test_secrets_are_not_needed_and_missing_ones_are_told() -> None:
    text = manifest("variables: [{name: pw, secret: {name: a, key: b}, env: PW}]")
    result = validate("-", text=text)
    assert result.return_value == 0
    assert (
        'warning: variable "pw" has no value here: give --var pw=..., or set the environment variable PW'
        in result.output
    )
    assert "warning" not in validate("-", text=text, env={"PW": "x"}).output


def test_variants_are_checked_too() -> None:
    result = validate("-", text=manifest("variants: [{name: big, spec: {shards: 0}}]"))
    assert result.return_value == 104
    assert "spec.shards (variant big): 0 is too small" in result.stderr


def test_json_for_programs(tmp_path: Path) -> None:
    result = validate("-", "--output", "json", text=manifest("shards: 0"))
    assert result.return_value == 104
    assert json.loads(result.stdout) == {
        "valid": False,
        "problems": [
            {
                "file": "<stdin>", "line": 5, "column": 11, "path": "spec.shards", "message": "0 is too small",
                "hint": "the least is 1", "where": "",
            }
        ],
        "resources": [],
    }  # fmt: skip
    result = validate("-", "--output", "json", text=manifest())
    resources = [{"kind": "LoadTest", "name": "shop", "file": "<stdin>", "warnings": []}]
    assert json.loads(result.stdout) == {"valid": True, "problems": [], "resources": resources}


def test_a_directory_without_ours(tmp_path: Path) -> None:
    write(tmp_path / "values.yaml", "a: 1\n")
    assert validate(str(tmp_path)).output == "nothing to validate: no resources of squall.dev found\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--vus", "3"],
        ["--duration", "5s"],
        ["--stage", "1s:2", "--stage", "1s:0"],
        ["--scenario", "signup"],
        ["--set", "shards=2"],
        ["--time-scale", "0.5"],
    ],
)
def test_options_apply(options: list[str]) -> None:
    assert validate("-", *options, text=manifest()).return_value == 0


def test_a_variable_needs_a_name_and_a_value() -> None:
    result = CliRunner().invoke(cli, ["validate", "-", "--var", "x"], input=manifest())
    assert result.exit_code == 2
    assert "'x' is not of the form name=value" in result.stderr


def test_manifests_that_runs_have_kept_are_passed_over(tmp_path: Path) -> None:
    file = write(tmp_path / "loadtest.yaml", manifest())
    kept = tmp_path / "results" / "shop-20260102T030405-1a2b3c4d"
    write(kept / "manifest.yaml", manifest())
    write(kept / "log.jsonl", "")
    assert validate(str(tmp_path)).output == f"{file}: LoadTest shop is valid\n"
    assert "holds no *.yaml" in validate(str(tmp_path / "results")).stderr
    assert "LoadTest shop is valid" in validate(str(kept)).output
