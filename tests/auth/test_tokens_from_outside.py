"""Tokens in `squall try` and `squall run`: what people see of them, and what they do not."""

import asyncio
import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.driving import Target, manifest, target
from support.issuer import API_PATH, CLIENT_SECRET, Issuer, oauth2


def protected(server: Target, **http: Any) -> dict[str, Any]:
    """A test of two shards, whose password comes from the environment."""
    steps = [
        {
            "name": "call",
            "http": {"url": API_PATH},
            "checks": {"is known": "body.seen != ''"},
            "extract": {"shown": {"jsonPath": "$.seen"}},
        },
        {"think": {"duration": "20ms"}},
    ]
    test = manifest(server.url, steps, executor="constant-vus", vus=4, duration="2s", spec={"shards": 2})
    test["spec"]["http"] |= {"auth": oauth2(), **http}
    test["spec"]["variables"] = [
        {"name": "secret", "secret": {"name": "s", "key": "k"}, "env": "OAUTH_SECRET"}
    ]
    return test


async def squall(
    folder: Path, test: dict[str, Any], command: str, *arguments: str, secret: str = CLIENT_SECRET
) -> tuple[int, str]:
    """Run a command of squall on a manifest; returns exit code and all that it printed."""
    file = folder / "loadtest.yaml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "squall.cli.main",
        command,
        str(file),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "OAUTH_SECRET": secret, "PYTHONUTF8": "1", "COLUMNS": "200"},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def test_trying_shows_no_token(tmp_path):
    issuer = Issuer()
    async with target() as server:
        issuer.serve(server)
        code, out = await squall(tmp_path, protected(server), "try")
    assert code == 0, out
    assert "Authorization: Bearer ***" in out
    assert "= shown: ***" in out
    assert issuer.shown == issuer.issued
    for hidden in (*issuer.issued, CLIENT_SECRET, "s3cr3t"):
        assert hidden not in out


async def test_trying_says_why_there_is_no_token(tmp_path):
    issuer = Issuer()
    async with target() as server:
        issuer.serve(server)
        code, out = await squall(tmp_path, protected(server), "try", secret="wrong-one")
    assert code == 109, out
    assert "401 Unauthorized: invalid_client" in out
    assert "wrong-one" not in out
    assert issuer.shown == []


async def test_each_runner_of_a_run_has_a_token_of_its_own(tmp_path):
    issuer = Issuer()
    async with target() as server:
        issuer.serve(server)
        code, out = await squall(
            tmp_path, protected(server), "run", "--processes", "2", "--results", str(tmp_path / "results")
        )
    assert code in {0, 103}, out  # a machine that is busy with other things makes it invalid
    (folder,) = (tmp_path / "results").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    counted = {row["metric"]: row["values"] for row in summary["metrics"] if not row["tags"]}
    assert counted["auth_tokens"]["count"] == len(issuer.issued) == 2
    assert counted["http_reqs"]["count"] == len(issuer.shown)
    assert set(issuer.shown) == set(issuer.issued)
    kept = b"".join(map(_content, folder.iterdir()))
    for hidden in (*issuer.issued, CLIENT_SECRET):
        assert hidden not in out
        assert hidden.encode() not in kept


def _content(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


@pytest.mark.parametrize("broken", ["refuses", "hangs"])
async def test_a_run_without_a_token_does_not_begin(tmp_path, broken):
    issuer = Issuer(delay=3600 if broken == "hangs" else 0)
    async with target() as server:
        issuer.serve(server)
        code, out = await squall(
            tmp_path,
            protected(server, timeout="1s"),
            "run",
            "--results",
            str(tmp_path / "results"),
            secret="wrong-one" if broken == "refuses" else CLIENT_SECRET,
        )
    assert code == 109, out
    (folder,) = (tmp_path / "results").iterdir()
    verdict = json.loads((folder / "summary.json").read_text())["verdict"]
    assert (verdict["result"], verdict["reason"]) == ("Error", "AuthFailed")
    assert ("invalid_client" if broken == "refuses" else "no complete response within 1 s") in verdict[
        "message"
    ]
    assert "wrong-one" not in out
    assert issuer.shown == []
