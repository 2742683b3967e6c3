"""Secrets stay secret, above all where things fail: that is where requests, responses and variables are shown."""

from __future__ import annotations

from pathlib import Path

from support.hostile import Peer, hostile
from support.squallrun import Squall, manifest, step

PASSWORD = 'hunter2/"correct" höhe&'
TOKEN = "t0ken+battery=/staple"
MODULE = """
async def fail(ctx, password):
    raise RuntimeError(f"cannot log in with {password}")


async def shout(ctx, password):
    print(password, flush=True)
"""


def echoes(peer: Peer) -> None:
    """A server that gives back what it was told, in ways that make the client complain."""
    while request := peer.request():
        if request.startswith(b"GET /garbage"):
            peer.send(b"HTTP/1.1 " + request)
            return
        status = b"500 No" if request.startswith(b"GET /broken") else b"200 OK"
        peer.send(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(request), request))


def test_no_secret_is_ever_seen(squall: Squall, tmp_path: Path) -> None:
    secret = {"name": "shop", "key": "k"}
    python = {"file": "steps.py", "args": {"password": "${var.password}"}}
    scenarios = [
        {
            "name": name,
            "executor": "constant-vus",
            "vus": 1,
            "duration": "2s",
            "steps": [*steps, {"think": {"duration": "100ms"}}],
        }
        for name, steps in {
            "login": [
                step("login", method="POST", url="/login?t=${var.token}", json={"p": "${var.password}"})
            ],
            "broken": [step("broken", url="/broken/${var.password}?t=${var.token}")],
            "garbage": [step("garbage", url="/garbage/${var.token}")],
            "refused": [step("refused", url="http://127.0.0.1:1/${var.token}")],
            "strict": [
                step("strict", url="/echo/${var.password}")
                | {
                    "extract": {"missing": {"jsonPath": "$.nothing"}},
                    "checks": {"right": "body.password == 1"},
                }
            ],
            "python": [{"name": "fail", "python": {**python, "function": "fail"}}],
            "shout": [{"name": "shout", "python": {**python, "function": "shout"}}],
        }.items()
    ]
    with hostile(echoes) as target:
        test = manifest(
            target.url,
            scenarios=scenarios,
            shards=1,
            variables=[
                {"name": "password", "secret": secret, "env": "FAULT_PASSWORD"},
                {"name": "token", "secret": secret, "env": "FAULT_TOKEN"},
            ],
            files=[{"name": "steps.py", "inline": MODULE}],
            http={"headers": {"Authorization": "Bearer ${var.token}"}},
            setup={
                "steps": [
                    step("hello", url="/hello/${var.password}")
                    | {"extract": {"seen": {"regex": "hello/([^ ]+)"}}}
                ]
            },
            teardown={"steps": [step("bye", url="/broken/${var.password}")]},
        )
        run = squall(test, environ={"FAULT_PASSWORD": PASSWORD, "FAULT_TOKEN": TOKEN})
        (runner,) = run.runners(1)
        run.wait_until(lambda: len(target.requests) > 20, "some load")
        process = Path(f"/proc/{runner}")
        shown = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        ended = run.ended()
        sent = b"".join(target.requests)
    assert ended.outcome()[1] in ("Passed", "Invalid")
    assert b"hunter2" in sent
    assert b"t0ken" in sent
    failed = {line["scenario"] for line in ended.log if line["event"] == "step_failed"}
    assert failed == {"broken", "garbage", "refused", "strict", "python", "teardown"}
    seen = {"output": ended.out.encode(), "process": shown}
    files = [path for path in run.folder.rglob("*") if path.is_file() and path.suffix != ".gz"]
    seen |= {str(path.relative_to(run.folder)): path.read_bytes() for path in files}
    assert "log.jsonl" in " ".join(seen)
    leaks = [name for name, text in seen.items() if b"hunter2" in text or b"t0ken" in text]
    assert leaks == []
