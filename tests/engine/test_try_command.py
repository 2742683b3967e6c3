"""`squall try`: everything is shown, secrets are not, and the exit code tells."""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from support.driving import manifest, target

from squall_runner.trying import Telling, masker

SECRET = 'p w&"1/é'


async def squall_try(
    folder: Path, test: dict[str, Any], *arguments: str, **environment: str
) -> tuple[int, str, str]:
    """Run the command; returns exit code, standard output and standard error."""
    file = folder / "loadtest.yaml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "squall.cli.main",
        "try",
        str(file),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment, "PYTHONUTF8": "1"},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


def flow(url: str) -> dict[str, Any]:
    password = "${var.password}"
    steps = [
        {
            "name": "login",
            "http": {
                "method": "POST",
                "url": f"/login/{password}",
                "query": {"p": password},
                "json": {"password": password},
                "auth": {"basic": {"username": "u", "password": password}},
            },
            "checks": {"status is 200": "status == 200", "has items": "len(body.items) > 0"},
            "extract": {"token": {"jsonPath": "$.token"}},
        },
        {"think": {"duration": "1h"}},
        {"name": "list", "http": {"url": "/items/${token}"}},
    ]
    spec = {
        "variables": [{"name": "password", "secret": {"name": "a", "key": "b"}, "env": "TRY_PASSWORD"}],
        "setup": {"steps": [{"name": "prepare it", "http": {"url": "/setup"}}]},
        "teardown": {"steps": [{"name": "clean up", "http": {"url": "/teardown"}}]},
    }
    return manifest(url, steps, executor="constant-vus", vus=50, duration="1h", spec=spec)


async def test_everything_is_shown_and_secrets_are_not(tmp_path):
    async with target() as server:
        server.answers_all = {"token": "t0k", "items": [1]}
        code, out, err = await squall_try(tmp_path, flow(server.url), TRY_PASSWORD=SECRET)
    assert (code, err) == (0, "")
    for shown in (
        "prepare it",
        "POST",
        "200 OK",
        "✓ status is 200",
        "seen: body",
        "= token: t0k",
        "/items/t0k",
        "total",
        "clean up",
        "iteration completed",
    ):
        assert shown in out, shown
    for form in (SECRET, "p%20w", "p+w", 'p w&\\"1', "cCB3"):
        assert form not in out
    assert "***" in out
    assert [path.partition("?")[0] for path in server.paths()][0::3] == ["/setup", "/teardown"]
    assert len(server.seen) == 4


async def test_a_check_that_fails_is_told_by_the_exit_code(tmp_path):
    async with target() as server:
        server.answers_all = {"token": "t0k", "items": []}
        code, out, _ = await squall_try(tmp_path, flow(server.url), TRY_PASSWORD="abc")
    assert code == 99
    assert "✗ has items: len(body.items) > 0" in out
    assert 'seen: body = {"token":"t0k","items":[]}' in out


async def test_a_step_that_fails_says_why(tmp_path):
    async with target() as server:
        server.answers_all = {"items": [1]}
        code, out, _ = await squall_try(tmp_path, flow(server.url), TRY_PASSWORD="abc")
    assert code == 99
    assert "! extract: extract token: jsonPath $.token: nothing found" in out
    assert "iteration failed" in out
    assert "clean up" in out


async def test_one_scenario_can_be_chosen(tmp_path):
    async with target() as server:
        test = manifest(server.url, [{"http": {"url": "/one"}}])
        other = {
            "name": "other",
            "executor": "constant-arrival-rate",
            "rate": 5,
            "duration": "1h",
            "steps": [{"http": {"url": "/two"}}],
        }
        test["spec"]["scenarios"].append(other)
        code, _, _ = await squall_try(tmp_path, test, "--scenario", "other")
    assert code == 0
    assert server.paths() == ["/two"]


async def test_wrong_manifests_and_absent_targets_have_codes_of_their_own(tmp_path):
    async with target() as server:
        code, _, err = await squall_try(tmp_path, manifest(server.url, [{"http": {"ulr": "/"}}]))
        assert (code, server.seen) == (104, [])
        assert "ulr" in err
        url = server.url
    code, out, _ = await squall_try(tmp_path, manifest(url, [{"http": {"url": "/"}}]))
    assert code == 109
    assert "cannot be reached" in out


@pytest.mark.parametrize("secret", [SECRET, "simple", "100%", "ünïcödé"])
def test_secrets_are_masked_in_every_form(secret):
    from urllib.parse import quote, quote_plus

    mask = masker({"key": secret})
    event = {
        "url": f"http://h/{quote(secret, safe='')}?q={quote_plus(secret)}",
        "body": [f"<{secret}>"],
        "n": 1,
    }
    assert mask(event) == {"url": "http://h/***?q=***", "body": ["<***>"], "n": 1}


def test_a_value_that_is_nested_too_deeply_is_said_to_be_so() -> None:
    nested: list[Any] = []
    for _ in range(sys.getrecursionlimit()):
        nested = [nested]
    shown: list[dict[str, Any]] = []
    telling = Telling(lambda event, **fields: shown.append({"event": event, **fields}))
    telling.value(SimpleNamespace(name="hit"), "x", nested)  # type: ignore[arg-type]
    assert shown == [
        {"event": "value", "step": "hit", "name": "x", "value": "<nested too deeply to be shown>"}
    ]
