"""What goes along with a manifest: made of its content alone, and of nothing that stays on this machine."""

import random
import re
from base64 import b64decode
from contextlib import AbstractContextManager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.errors import ExitCode, UsageError
from squall.hub.assignment import unpack
from squall.remote import needs, sending
from squall.remote.sending import CONTENT, PIECE_BYTES, Parcel, TooLargeError, leftovers, pack
from squall.spec.files import LocalFile
from squall.spec.loadtest import MAX_PIECES, MAX_UNPACKED_BYTES, FileRef
from squall_operator.manifests.owned import Owner


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


@settings(deadline=None)
@given(content=st.binary(min_size=21, max_size=400), compressible=st.booleans(), secret=st.booleans())
def test_pieces_make_the_file_again(content: bytes, compressible: bool, secret: bool) -> None:
    content = content * 50 if compressible else content
    entry = {"name": "a", "secret": {"name": "s", "key": "k"}} if secret else {"name": "a", "path": "a"}
    with small_pieces():
        packed = parcel(entry, contents={"a": content}, given=("a",))
    (file,) = packed.manifest["spec"]["files"]
    (key, kind, data) = ("secret", "Secret", "data") if secret else ("configMap", "ConfigMap", "binaryData")
    assert set(file) == {"name", key}
    reference = FileRef.model_validate(file[key])
    assert reference.pieces == len(packed.objects)
    assert reference.size_bytes == len(content)
    objects = {each["metadata"]["name"]: each for each in packed.objects}
    pieces = [objects[f"{reference.name}-{number}"] for number in range(len(objects))]
    assert {each["kind"] for each in pieces} == {kind}
    assert unpack([b64decode(each[data][CONTENT]) for each in pieces], len(content)) == content


def small_pieces(size: int = 20) -> AbstractContextManager[Any]:
    """As if objects were small."""
    return patch.multiple(sending, PIECE_BYTES=size, MAX_PIECES=1000)


def test_another_version_of_a_file_shares_no_piece_with_the_one_before() -> None:
    chance = random.Random(1)
    first = chance.randbytes(3 * PIECE_BYTES)
    other = first[:-1] + bytes([first[-1] ^ 1])
    one, two = (parcel({"name": "a", "path": "a"}, contents={"a": each}) for each in (first, other))
    assert len(one.objects) == len(two.objects) == 4
    assert one.objects[0]["binaryData"] == two.objects[0]["binaryData"]
    names = [{each["metadata"]["name"] for each in packed.objects} for packed in (one, two)]
    assert names[0].isdisjoint(names[1])
    assert one == parcel({"name": "a", "path": "a"}, contents={"a": first})


def test_an_object_has_room_for_what_is_put_into_it() -> None:
    content = random.Random(2).randbytes(3 * PIECE_BYTES)
    for each in parcel({"name": "a", "path": "a"}, contents={"a": content}).objects:
        assert len(b64decode(each["binaryData"][CONTENT])) <= PIECE_BYTES < 1024 * 1024
        assert each["immutable"] is True


def test_what_fits_into_an_object_is_sent_as_it_is() -> None:
    packed = parcel({"name": "a", "path": "a"}, contents={"a": bytes(PIECE_BYTES)})
    assert set(packed.manifest["spec"]["files"][0]["configMap"]) == {"name", "key"}
    packed = parcel({"name": "a", "path": "a"}, contents={"a": bytes(PIECE_BYTES + 1)})
    assert packed.manifest["spec"]["files"][0]["configMap"]["pieces"] == 1


def refused(*files: dict[str, Any], contents: dict[str, bytes]) -> TooLargeError:
    with pytest.raises(TooLargeError) as error:
        parcel(*files, contents=contents)
    assert "volumeClaim" in error.value.hint
    assert error.value.exit_code == ExitCode.MANIFEST
    return error.value


def test_a_file_that_is_more_than_a_cluster_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    content = random.Random(3).randbytes(MAX_PIECES * 1024)
    monkeypatch.setattr(sending, "PIECE_BYTES", 1024)
    error = refused({"name": "a", "path": "a"}, contents={"a": content})
    assert 'the file "a" has 33 pieces when compressed; at most 32 of 1 KiB' in error.message
    assert "etcd" in error.message


def test_files_that_are_more_than_a_cluster_takes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {name: random.Random(name).randbytes(MAX_PIECES * 512) for name in "abc"}
    monkeypatch.setattr(sending, "PIECE_BYTES", 1024)
    parcel({"name": "a", "path": "a"}, contents=contents)
    error = refused(*({"name": name, "path": name} for name in "abc"), contents=contents)
    assert "the files have 51 pieces, and all of a test together at most 32" in error.message


def test_a_file_that_is_small_only_when_compressed_is_refused_unread(tmp_path: Path) -> None:
    data = {"metadata": {"name": "shop"}, "spec": {"files": [{"name": "a", "path": "a"}]}}
    huge = LocalFile("a", tmp_path / "never read", None, MAX_UNPACKED_BYTES + 1)
    with pytest.raises(TooLargeError, match="at most 268,435,456"):
        pack(data, "team-a", {"a": huge}, {}, frozenset())


def selected(selector: str, labels: dict[str, str]) -> bool:
    """What an API server makes of a selector of these forms."""
    equal, there, *kept = selector.split(",", 2)
    name, value = equal.split("=")
    out = re.fullmatch(rf"{there} notin \((.*)\)", kept[0]) if kept else None
    others = out.group(1).split(",") if out else []
    return labels.get(name) == value and there in labels and labels[there] not in others


def test_what_is_left_over_is_what_was_sent_and_is_not_named_any_more() -> None:
    files = ({"name": "a", "path": "a"}, {"name": "b", "configMap": {"name": "shop-theirs", "key": "k"}})
    with small_pieces():
        contents = random.Random(4).randbytes(50), b"small"
        one, two = (parcel(*files, contents={"a": each}, secrets={"p": "1"}) for each in contents)
    selector = leftovers("shop", two.manifest["spec"])
    assert all(not selected(selector, each["metadata"]["labels"]) for each in two.objects)
    gone = [each["kind"] for each in one.objects if selected(selector, each["metadata"]["labels"])]
    assert gone == ["ConfigMap"] * 4, "the secret is still named"
    theirs = Owner(namespace="team-a", name="shop", uid="u").labels("shop-1")
    assert not selected(leftovers("shop", {}), theirs), "the objects of runs are not ours to take away"
    assert all(selected(leftovers("shop", {}), each["metadata"]["labels"]) for each in one.objects)


def test_long_names_are_told_apart() -> None:
    data = {"spec": {"files": [{"name": "a", "path": "a"}]}}
    for name in ("a" * 63, "a" * 64, "a" * 253):
        packed = pack(
            {**data, "metadata": {"name": name}},
            "team-a",
            {"a": LocalFile("a", None, b"x", 1)},
            {},
            frozenset(),
        )
        labels = packed.objects[0]["metadata"]["labels"]
        assert all(len(value) <= 63 for value in labels.values())
        assert len(packed.objects[0]["metadata"]["name"]) <= 250
        found = [each for each in ("a" * 63, "a" * 64, "a" * 253) if selected(leftovers(each, {}), labels)]
        assert found == [name]


def test_a_file_that_has_gone_meanwhile(tmp_path: Path) -> None:
    data = {"metadata": {"name": "shop"}, "spec": {"files": [{"name": "a", "path": "a"}]}}
    with pytest.raises(UsageError, match="cannot be read"):
        pack(data, "team-a", {"a": LocalFile("a", tmp_path / "a", None, 3)}, {}, frozenset())


def test_without_the_client_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        needs.need_client()
    assert "pip install 'squall[cluster]'" in error.value.hint
