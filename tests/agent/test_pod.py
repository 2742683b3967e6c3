"""What a pod makes of the folder that is mounted into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakerunner import manifest
from support.podfolder import contents, lay_out

from squall.hub.assignment import Content
from squall_runner.pod import PodError, read

SECRET = "hunter2-is-no-password"
CA = b"-----BEGIN CERTIFICATE-----\n"


def made(**parts):
    """A pod of two processes out of two, with something of everything."""
    given = {
        "manifest": manifest(shards=7),
        "token": "a-token\n",
        "shards": 7,
        "shards_per_pod": 4,
        "processes_per_pod": 2,
        "variables": {"baseUrl": "http://t", "count": 3},
        "secrets": {"password": SECRET},
        "files": {"users.csv": b"email\na\n"},
        "packed": {"image.png": bytes(range(256)) * 20},
    }
    return contents(**(given | parts))


def test_each_process_of_a_pod_has_its_part(tmp_path):
    folder = lay_out(tmp_path / "in", made(scratch=str(tmp_path / "out")))
    first, second = (read(folder, {"JOB_COMPLETION_INDEX": index}) for index in "01")
    assert [(each.runner, each.shards) for each in (*first, *second)] == [
        (0, (0, 4)),
        (1, (2, 6)),
        (2, (1, 5)),
        (3, (3,)),
    ]
    one = second[1]
    assert (one.run, one.hub, one.token, one.hub_ca) == ("r1", "http://127.0.0.1:1", "a-token", "")
    assert one.manifest == manifest(shards=7)
    assert one.variables == {"baseUrl": "http://t", "count": 3}
    assert one.secrets == {"password": SECRET}
    assert not one.exit_with_parent


def test_files_lie_where_they_were_mounted_or_are_put_together(tmp_path):
    folder = lay_out(tmp_path / "in", made(scratch=str(tmp_path / "out")))
    (one, _) = read(folder, {"JOB_COMPLETION_INDEX": "0"})
    assert one.files["users.csv"] == str(folder / "files/users.csv")
    assert Path(one.files["image.png"]).read_bytes() == bytes(range(256)) * 20
    assert Path(one.files["image.png"]).is_relative_to(tmp_path / "out")


def test_a_file_may_lie_on_a_volume_of_its_own(tmp_path):
    asset = tmp_path / "volume" / "asset.bin"
    asset.parent.mkdir()
    asset.write_bytes(b"x")
    place = Content(path=str(asset))
    folder = lay_out(tmp_path / "in", contents(manifest(), token="t", places={"asset": place}))
    assert read(folder, {"JOB_COMPLETION_INDEX": "0"})[0].files == {"asset": str(asset)}


def test_the_certificates_of_the_hub(tmp_path):
    folder = lay_out(
        tmp_path / "in",
        made(hub="https://hub", hub_ca="ca.crt", scratch=str(tmp_path / "out")) | {"ca.crt": CA},
    )
    assert read(folder, {"JOB_COMPLETION_INDEX": "0"})[0].hub_ca == str(folder / "ca.crt")


@pytest.mark.parametrize("index", [None, "", "-1", "2", "one", "²", "1.0"])
def test_a_pod_without_a_place_in_the_run_says_so(tmp_path, index):
    folder = lay_out(tmp_path / "in", made(scratch=str(tmp_path / "out")))
    with pytest.raises(PodError, match="JOB_COMPLETION_INDEX"):
        read(folder, {} if index is None else {"JOB_COMPLETION_INDEX": index})


@pytest.mark.parametrize(
    "place",
    [
        "run.json",
        "token",
        "secrets/password",
        "files/users.csv",
        "files/image.png.gz.1",
        "manifest.json.gz.0",
    ],
)
def test_what_is_missing_is_named(tmp_path, place):
    folder = lay_out(tmp_path / "in", made(scratch=str(tmp_path / "out")))
    (folder / place).unlink()
    with pytest.raises(PodError, match=place):
        read(folder, {"JOB_COMPLETION_INDEX": "0"})


def test_a_file_of_a_volume_lies_in_the_volume(tmp_path):
    """A volume's content is somebody's: neither `..` nor a link leads from it to the run's token or to a secret."""
    volume = tmp_path / "volumes" / "claim"
    (volume / "sub").mkdir(parents=True)
    (volume / "sub" / "users.csv").write_text("a\n1\n")
    (volume / "inside").symlink_to("sub/users.csv")
    (volume / "link").symlink_to(tmp_path / "in" / "token")
    (volume / "up").symlink_to("../..")

    def place_of(path: str) -> str:
        content = Content(path=f"{volume}/{path}", within=str(volume))
        folder = lay_out(tmp_path / "in", made(scratch=str(tmp_path / "out"), places={"x": content}))
        return read(folder, {"JOB_COMPLETION_INDEX": "0"})[0].files["x"]

    for good in ("sub/users.csv", "inside", "sub/../inside"):
        assert Path(place_of(good)).read_text() == "a\n1\n"
    for bad in ("../../in/token", "link", "up/in/token"):
        with pytest.raises(PodError, match="leads out of its volume"):
            place_of(bad)


@pytest.mark.parametrize(
    ("place", "data", "why"),
    [
        ("run.json", b"{", "run.json makes no sense"),
        ("run.json", b'{"run": "r1"}', "missing required field"),
        ("manifest.json.gz.0", b"nonsense", "manifest.json.gz.0 to .* cannot be put together"),
        ("secrets/password", b"\xff" + SECRET.encode(), "secrets/password is not UTF-8"),
    ],
)
def test_what_is_damaged_is_named_and_no_secret_with_it(tmp_path, place, data, why):
    folder = lay_out(tmp_path / "in", made(scratch=str(tmp_path / "out")) | {place: data})
    with pytest.raises(PodError, match=why) as caught:
        read(folder, {"JOB_COMPLETION_INDEX": "0"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"shards": 0}, "from 1"),
        ({"shards_per_pod": 0}, "from 1"),
        ({"processes_per_pod": 0}, "from 1"),
        ({"hub": "ftp://hub"}, "no http or https URL"),
        ({"hub_ca": "ca.crt"}, "without TLS"),
        ({"hub": "https://hub", "hub_ca": "ca.crt"}, "ca.crt cannot be read"),
        ({"hub": "https://hub", "hub_ca": "token"}, "token holds no certificate"),
        ({"places": {"../up": Content(path="f", pieces=1, size=1)}}, "no name of a file"),
        ({"places": {"x": Content(path="files/x")}}, 'files/x, the file "x" of the manifest, is not there'),
        ({"manifest": manifest(shards=8)}, "7 shards, the manifest of 8"),
        ({"manifest": ["no", "manifest"]}, "manifest.json.gz makes no sense"),
        ({"scratch": "/proc/nowhere"}, "cannot be written"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path, parts, why):
    folder = lay_out(tmp_path / "in", made(**{"scratch": str(tmp_path / "out")} | parts))
    with pytest.raises(PodError, match=why):
        read(folder, {"JOB_COMPLETION_INDEX": "0"})
