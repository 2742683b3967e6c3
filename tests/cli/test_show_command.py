"""`squall show`: the effective manifest, which reads back to itself."""

from __future__ import annotations

import json
from typing import Any

import yaml
from click.testing import CliRunner, Result
from support.problems import manifest

from squall.cli.main import cli

TEXT = manifest(
    """
    variables:
      - {name: host, value: "http://h", env: HOST}
      - {name: pw, secret: {name: a, key: b}, env: PW}
    http: {baseUrl: "${var.host}", headers: {Authorization: "Bearer ${var.pw}"}}
    variants: [{name: smoke, spec: {shards: 3}}]
    """
)


def show(*arguments: str, text: str = TEXT, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["show", "-", *arguments], input=text, env=env, catch_exceptions=False)


def shown(*arguments: str, **options: Any) -> Any:
    result = show(*arguments, **options)
    assert result.exit_code == 0, result.output
    return yaml.safe_load(result.stdout)


def test_variables_are_resolved_and_secrets_stay_references() -> None:
    result = show(env={"HOST": "http://other", "PW": "hunter2"})
    http = yaml.safe_load(result.stdout)["spec"]["http"]
    assert http == {"baseUrl": "http://other", "headers": {"Authorization": "Bearer ${var.pw}"}}
    assert "hunter2" not in result.output


def test_variants_and_options_are_applied() -> None:
    spec = shown("--variant", "smoke", "--vus", "9", "--set", "http.timeout=7s")["spec"]
    assert spec["shards"] == 3
    assert [stage["target"] for stage in spec["scenarios"][0]["stages"]] == [9, 9]
    assert spec["http"]["timeout"] == "7s"
    assert "variants" not in spec


def test_what_is_shown_is_a_manifest_that_shows_the_same() -> None:
    first = show("--variant", "smoke", "--duration", "1m")
    assert show(text=first.stdout).stdout == first.stdout


def test_warnings_do_not_mix_with_the_manifest() -> None:
    result = show()
    assert "warning" not in result.stdout
    assert 'warning: variable "pw" has no value here' in result.stderr


def test_json() -> None:
    result = show("--output", "json")
    assert json.loads(result.stdout)["metadata"] == {"name": "shop"}


def test_several_tests_are_several_documents() -> None:
    result = show(text=TEXT + "---\n" + TEXT.replace("shop", "shop2"))
    assert [document["metadata"]["name"] for document in yaml.safe_load_all(result.stdout)] == [
        "shop",
        "shop2",
    ]
