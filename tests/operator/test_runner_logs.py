"""What the installation says about runners' logs reaches their pods, and no LoadTest changes it behind its back."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from support.jobs import container_of

from squall.logs.log import Log
from squall_operator import main as command
from squall_operator.manifests.template import TemplateError
from squall_operator.settings import RunnerDefaults, Settings

SCENARIO = {
    "name": "s",
    "executor": "shared-iterations",
    "iterations": 1,
    "vus": 1,
    "steps": [{"http": {"url": "/"}}],
}


def environment(defaults: RunnerDefaults, *own: dict[str, str]) -> list[dict[str, Any]]:
    template = {"spec": {"containers": [{"name": "runner", "env": list(own)}]}}
    document = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "shop"},
        "spec": {"http": {"baseUrl": "http://a"}, "scenarios": [SCENARIO], "runner": {"template": template}},
    }
    found: list[dict[str, Any]] = container_of(document, defaults)["env"]
    return found


def test_pods_are_told_level_and_format() -> None:
    defaults = RunnerDefaults(image="r", log_level="debug", log_format="json")
    logs = [{"name": "SQUALL_LOG_LEVEL", "value": "debug"}, {"name": "SQUALL_LOG_FORMAT", "value": "json"}]
    assert environment(defaults) == logs
    own = {"name": "A", "value": "b"}
    assert environment(defaults, own) == [*logs, own]
    with pytest.raises(TemplateError, match="SQUALL_LOG_LEVEL may not be set"):
        environment(defaults, {"name": "SQUALL_LOG_LEVEL", "value": "error"})


@pytest.mark.parametrize(
    ("options", "level", "form"),
    [
        ([], "info", "auto"),
        (["--log-level", "warning", "--log-format", "console"], "warning", "console"),
        (["--log-level", "warning", "--runner-log-level", "debug"], "debug", "auto"),
    ],
)
def test_runners_log_as_the_operator_does_unless_it_says_otherwise(
    options: list[str], level: str, form: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    async def run(settings: Settings, *_: object) -> None:
        seen.append(settings)

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(Log, "take_over", lambda _: None)  # the tests' own logging stays
    monkeypatch.setattr(command, "Log", lambda *_, **__: Log(tmp_path / "log", "operator"))
    key = tmp_path / "key"
    key.write_text("k", encoding="ascii")
    given = ["--hub", "http://hub:1", "--runner-image", "i", "--key-file", str(key), *options]
    told = CliRunner().invoke(command.main, given)
    assert told.exit_code == 0, told.output
    assert (seen[0].runner.log_level, seen[0].runner.log_format) == (level, form)
