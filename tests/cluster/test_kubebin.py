"""Binaries are taken where they are, built once where they are not, and asked for in plain words when neither can be."""

from pathlib import Path

import pytest
from support.kubebin import CONTROL_PLANE, KubeBinariesError, binaries, cache_folder


def test_prebuilt_binaries_are_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CONTROL_PLANE:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert binaries() == {name: tmp_path / name for name in CONTROL_PLANE}


def test_the_cache_is_used_without_a_go_tool_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_at_hand(tmp_path, monkeypatch)
    cache_folder().mkdir(parents=True)
    for name in CONTROL_PLANE:
        (cache_folder() / name).touch(mode=0o755)
    assert binaries() == {name: cache_folder() / name for name in CONTROL_PLANE}


def test_a_machine_without_go_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_at_hand(tmp_path, monkeypatch)
    with pytest.raises(
        KubeBinariesError, match=r"Install Go.*KUBEBUILDER_ASSETS.*SQUALL_TESTS_WITHOUT=control-plane"
    ):
        binaries()


def test_a_failed_build_leaves_no_binary_and_shows_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nothing_at_hand(tmp_path, monkeypatch)
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/bin")
    said: list[str] = []
    with pytest.raises(KubeBinariesError, match="no space left"):
        binaries(["etcd"], say=said.append)
    assert not [path for path in cache_folder().iterdir() if "etcd" in path.name and path.suffix != ".log"]
    assert said[0].startswith("[1/1] etcd")


def _nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
