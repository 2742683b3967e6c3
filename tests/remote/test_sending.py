"""What goes along with a manifest: made of its content alone, and of nothing that stays on this machine."""

from base64 import b64decode
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.errors import ExitCode, UsageError
from squall.remote import needs
from squall.remote.sending import LARGEST, Parcel, TooLargeError, pack
from squall.spec.files import LocalFile


def parcel(
    *files: dict[str, Any], contents: dict[str, bytes], secrets: dict[str, str] | None = None, **more: Any
) -> Parcel:
    data = {
        "metadata": {"name": "shop"},
        "spec": {
            "suspend": True,
            "files": list(files),
            "variables": [{"name": name, "secret": {"name": "theirs", "key": "k"}} for name in secrets or {}],
        },
    }
    before = deepcopy(data)
    found = {name: LocalFile(name, None, content, len(content)) for name, content in contents.items()}
    packed = pack(data, "team-a", found, secrets or {}, frozenset(more.get("given", ())))
    assert data == before, "what is shown and kept is not what is sent"
    return packed


@given(content=st.binary(max_size=200), other=st.binary(max_size=200))
def test_a_name_stands_for_a_content(content: bytes, other: bytes) -> None:
    entry = {"name": "a", "path": "a"}
    first, same, another = (parcel(dict(entry), contents={"a": each}) for each in (content, content, other))
    assert first == same
    assert (first.objects[0]["metadata"]["name"] == another.objects[0]["metadata"]["name"]) is (
        content == other
    )
    reference = first.manifest["spec"]["files"][0]["configMap"]
    assert reference["name"] == first.objects[0]["metadata"]["name"]
    assert b64decode(first.objects[0]["binaryData"][reference["key"]]) == content


def test_what_is_on_the_cluster_stays_there_and_what_is_inline_stays_inline() -> None:
    entries = (
        {"name": "a", "configMap": {"name": "m", "key": "k"}},
        {"name": "b", "inline": "text"},
        {"name": "c", "volumeClaim": {"claimName": "v", "path": "c"}},
    )
    packed = parcel(*entries, contents={"b": b"text"})
    assert packed.manifest["spec"]["files"] == list(entries)
    assert packed.objects == ()


def test_a_file_given_here_replaces_one_on_the_cluster_in_kind() -> None:
    entries = (
        {"name": "a", "configMap": {"name": "m", "key": "k"}},
        {"name": "b", "secret": {"name": "s", "key": "k"}},
        {"name": "c", "inline": "text"},
    )
    packed = parcel(*entries, contents={"a": b"1", "b": b"2", "c": b"3"}, given=("a", "b", "c"))
    assert [each["kind"] for each in packed.objects] == ["ConfigMap", "Secret", "ConfigMap"]
    assert [set(each) for each in packed.manifest["spec"]["files"]] == [
        {"name", "configMap"},
        {"name", "secret"},
        {"name", "configMap"},
    ]


def test_the_same_content_under_two_names_is_sent_once() -> None:
    packed = parcel({"name": "a", "path": "a"}, {"name": "b", "path": "b"}, contents={"a": b"x", "b": b"x"})
    assert len(packed.objects) == 1


def test_secrets_given_here_are_in_one_secret_and_nowhere_else() -> None:
    packed = parcel(contents={}, secrets={"token": "s3cret", "pin": "1234"})
    (body,) = packed.objects
    assert {key: b64decode(value) for key, value in body["data"].items()} == {
        "token": b"s3cret",
        "pin": b"1234",
    }
    name = body["metadata"]["name"]
    assert packed.manifest["spec"]["variables"] == [
        {"name": "token", "secret": {"name": name, "key": "token"}},
        {"name": "pin", "secret": {"name": name, "key": "pin"}},
    ]


def test_what_is_sent_is_meant_to_run() -> None:
    assert "suspend" not in parcel(contents={}).manifest["spec"]


def test_the_largest_file_that_goes_along() -> None:
    entry = {"name": "a", "path": "a"}
    parcel(dict(entry), contents={"a": bytes(LARGEST)})
    with pytest.raises(TooLargeError, match="at most 921,600") as error:
        parcel(dict(entry), contents={"a": bytes(LARGEST + 1)})
    assert "volumeClaim" in error.value.hint
    assert error.value.exit_code == ExitCode.MANIFEST


def test_a_file_that_has_gone_meanwhile(tmp_path: Path) -> None:
    data = {"metadata": {"name": "shop"}, "spec": {"files": [{"name": "a", "path": "a"}]}}
    with pytest.raises(UsageError, match="cannot be read"):
        pack(data, "team-a", {"a": LocalFile("a", tmp_path / "a", None, 3)}, {}, frozenset())


def test_without_the_client_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        needs.need_client()
    assert "pip install 'squall[cluster]'" in error.value.hint
