"""Files, data and Python of a manifest: found, read through, or reported with the line that is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.problems import SCENARIOS, manifest, marked, write

from squall.validation import EffectiveManifest, ManifestError, Options, Problem, load_effective, load_one

DATA = """
files: [{name: users.csv, path: data/users.csv}]
data: [{name: users, csv: users.csv}]
"""


def run(folder: Path, spec: str, scenarios: str = SCENARIOS, **options: Any) -> EffectiveManifest:
    return load_one(write(folder / "test.yaml", manifest(spec, scenarios)), Options(**options))


def wrong(folder: Path, spec: str, scenarios: str = SCENARIOS, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(ManifestError) as caught:
        run(folder, spec, scenarios, **options)
    return caught.value.problems


def test_paths_begin_at_the_manifest(tmp_path: Path) -> None:
    write(tmp_path / "data/users.csv", "email\na@x\n")
    found = run(tmp_path, DATA).files["users.csv"]
    assert (found.size, found.read()) == (10, b"email\na@x\n")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "data/user.csv", "email\na@x\n")
    (problem,) = wrong(tmp_path, DATA)
    assert (Path(problem.file).name, problem.line, problem.path) == ("test.yaml", 5, "spec.files[0].path")
    assert problem.message == f"there is no file {tmp_path}/data/users.csv"
    assert problem.hint == f"did you mean {tmp_path}/data/user.csv?"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", "is an absolute path"),
        ("../x", "leads out of"),
        ("a/../../x", "leads out of"),
        ("link", "is a link"),
    ],
)
def test_files_stay_below_the_manifest(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/link").symlink_to("/etc/hostname")
    (problem,) = wrong(tmp_path / "below", f"files: [{{name: a, path: {path}}}]")
    assert message in problem.message
    assert "--file a=PATH" in problem.hint


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (problem,) = wrong(tmp_path, "files: [{name: a, path: sub}]")
    assert problem.message.endswith("sub is a directory")


def test_cluster_files_must_be_given_for_a_run_only(tmp_path: Path) -> None:
    spec = "files: [{name: a, configMap: {name: c, key: k}}]"
    (problem,) = wrong(tmp_path, spec)
    assert problem.path == "spec.files[0].configMap"
    assert problem.message == 'the file "a" comes from a ConfigMap, which is only on a cluster'
    assert problem.hint == "give --file a=PATH"
    assert run(tmp_path, spec, complete=False).warnings == ('file "a" is not here: give --file a=PATH',)
    given = write(tmp_path / "elsewhere", "x")
    assert run(tmp_path, spec, files={"a": given}).files["a"].read() == b"x"
    (problem,) = wrong(tmp_path, spec, files={"a": f"{given}2"})
    assert (problem.file, problem.line) == (f"--file a={given}2", 0)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("email,id\na@x,1\nb@x\n", 3, "2"),
        ('email,id\n"a\nb",1\nc,2,3\n', 4, "2"),
        ('email,id\n"a"b,1\n', 2, "quote"),
        ("email,email\na,b\n", 1, "email"),
        ("email,\na,b\n", 1, "no name"),
        ("email\n", 1, "no rows"),
        ("", 1, "empty"),
    ],
)
def test_csv_problems_have_the_line_of_the_csv(tmp_path: Path, content: str, line: int, message: str) -> None:
    file = write(tmp_path / "data/users.csv", content)
    problem = wrong(tmp_path, DATA)[0]
    assert (problem.file, problem.line, problem.path) == (file, line, "spec.data[0]")
    assert message in problem.message
    assert problem.hint


def test_json_lines_problems_have_their_line(tmp_path: Path) -> None:
    file = write(tmp_path / "data/users.csv", '{"a": 1}\n\n[1]\n{"a": \n')
    found = wrong(tmp_path, DATA.replace("csv: users.csv", "jsonl: users.csv"))
    assert [(problem.file, problem.line) for problem in found] == [(file, 3), (file, 4)]


def test_columns_are_known_to_templates(tmp_path: Path) -> None:
    write(tmp_path / "data/users.csv", "email,id\na@x,1\n")
    scenarios = SCENARIOS.replace("/join", "/${data.users.email}")
    assert run(tmp_path, DATA, scenarios).name == "shop"
    (problem,) = wrong(tmp_path, DATA, scenarios.replace("users.email", "users.mail"))
    assert problem.path == "spec.scenarios[0].steps[0].http.url"
    assert "email" in problem.hint


def test_unique_rows_that_will_not_do_are_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "data/users.csv", "email\na@x\nb@x\n")
    scenarios = """
        scenarios:
          - {name: a, executor: shared-iterations, iterations: 3, steps: [{http: {url: "http://h/${data.users.email}"}}]}
        """
    spec = DATA.replace("csv: users.csv", "csv: users.csv, order: unique")
    assert run(tmp_path, spec, scenarios).warnings == (
        "data users has 2 rows, but 3 iterations are planned to use one each",
    )
    (problem,) = wrong(tmp_path, spec.replace("unique", "unique, whenExhausted: recycle"), scenarios)
    assert problem.path == "spec.data[0].whenExhausted"


STEPS_PY = """
import helpers
from other import shared

async def login(vu, name=""): ...
def plain(vu): ...
async def nothing(): ...
made = helpers.make()
"""


@pytest.mark.parametrize(
    ("function", "message", "hint"),
    [
        ("login", "", ""),
        ("made", "", ""),
        ("shared", "", ""),
        ("logn", 'defines no function "logn"; did you mean "login"?', "async functions there: login"),
        ("plain", '"plain" in steps.py is not async', "async def plain"),
        ("nothing", '"nothing" in steps.py takes no VU', "async def nothing(vu, ...)"),
    ],
)
def test_python_functions(tmp_path: Path, function: str, message: str, hint: str) -> None:
    write(tmp_path / "steps.py", STEPS_PY)
    scenarios = f"""
        scenarios:
          - {{name: a, executor: constant-vus, vus: 1, duration: 1s, steps: [{{python: {{file: steps.py, function: {function}}}}}]}}
        """
    spec = "files: [{name: steps.py, path: steps.py}]"
    if not message:
        assert run(tmp_path, spec, scenarios).name == "shop"
        return
    (problem,) = wrong(tmp_path, spec, scenarios)
    assert problem.path == "spec.scenarios[0].steps[0].python.function"
    assert message in problem.message
    assert hint in problem.hint


def test_python_that_cannot_be_read(tmp_path: Path) -> None:
    file = write(tmp_path / "steps.py", "async def a(vu):\n    x = = 1\n")
    scenarios = """
        scenarios:
          - {name: a, executor: constant-vus, vus: 1, duration: 1s, steps: [{python: {file: steps.py, function: a}}]}
        """
    (problem,) = wrong(tmp_path, "files: [{name: steps.py, path: steps.py}]", scenarios)
    assert (problem.file, problem.line) == (file, 2)
    assert "not valid Python" in problem.message


def test_directories_are_searched_for_manifests_of_ours(tmp_path: Path) -> None:
    write(tmp_path / "b/two.yml", manifest().replace("shop", "two"))
    write(tmp_path / "a.yaml", manifest().replace("shop", "one") + "---\nkind: Service\n")
    write(tmp_path / "values.yaml", "replicas: 3\n")
    write(tmp_path / "templates/x.yaml", "{{ if .Values }}\n")
    write(tmp_path / "notes.txt", "a: [")
    write(tmp_path / ".git/c.yaml", "a: [")
    assert [test.name for test in load_effective([str(tmp_path)])] == ["one", "two"]
    with pytest.raises(ManifestError) as caught:
        load_effective([str(tmp_path / "values.yaml"), str(tmp_path / "a.yaml")])
    assert [problem.path for problem in caught.value.problems] == ["apiVersion", "kind"] * 2
    write(tmp_path / "broken.yaml", "apiVersion: squall.dev/v1alpha1\n  kind: x\n")
    with pytest.raises(ManifestError, match="not valid YAML"):
        load_effective([str(tmp_path)])


def test_a_kind_of_ours_that_does_not_exist_is_no_stranger(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", manifest().replace("kind: LoadTest", "kind: LoadTests"))
    with pytest.raises(ManifestError, match='no kind "LoadTests"; did you mean "LoadTest"'):
        load_effective([str(tmp_path)])


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("missing.yaml", None, "there is no such file", "did you mean"),
        ("latin.yaml", b"a: caf\xe9\n", "the text is not UTF-8 here", "UTF-8"),
        (
            "only-policy.yaml",
            b"apiVersion: squall.dev/v1alpha1\nkind: LoadTestPolicy\nmetadata: {name: a}\nspec: {}\n",
            "there is no LoadTest in it",
            "kind: LoadTest",
        ),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, name: str, content: bytes | None, message: str, hint: str
) -> None:
    write(tmp_path / "missin.yaml", "")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        load_effective([str(tmp_path / name)])
    (problem,) = caught.value.problems
    assert problem.message == message
    assert hint in problem.hint


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no \*\.yaml"):
        load_effective([str(tmp_path)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    file = Path(write(tmp_path / "a.yaml", manifest()))
    file.chmod(0)
    with pytest.raises(ManifestError, match="cannot be read: Permission denied"):
        load_effective([str(file)])


def test_two_resources_of_one_name(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", manifest())
    write(tmp_path / "b.yaml", manifest())
    with pytest.raises(ManifestError, match='two resources are named LoadTest "shop"'):
        load_effective([str(tmp_path)])


def test_one_test_is_wanted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", manifest() + "---\n" + manifest().replace("shop", "shop2"))
    with pytest.raises(ManifestError, match="there are 2 LoadTests in it: shop, shop2"):
        load_one(file)


SCHEDULE = """\
apiVersion: squall.dev/v1alpha1
kind: LoadTestSchedule
metadata: {name: nightly}
spec:
  schedule: "0 2 * * *"
  loadTestTemplate:
    spec:
      shards: »1
      scenarios:
        - {name: a, executor: constant-vus, vus: 1, duration: 1s, steps: [{http: {url: http://h/}}]}
"""


@pytest.mark.parametrize(
    ("shards", "scenario", "path"),
    [
        ("0", "a", "spec.loadTestTemplate.spec.shards"),
        ("1", "a, startTime: -5s", None),
        ('"${var.x}"', "a", "spec.loadTestTemplate.spec.shards"),
    ],
)
def test_the_test_of_a_schedule_is_checked_too(
    tmp_path: Path, shards: str, scenario: str, path: str | None
) -> None:
    text, place = marked(SCHEDULE.replace("»1", f"»{shards}").replace("name: a,", f"name: {scenario},"))
    with pytest.raises(ManifestError) as caught:
        load_effective([write(tmp_path / "a.yaml", text)])
    (problem,) = caught.value.problems
    if path:
        assert (problem.path, problem.line, problem.column) == (path, *place)
    else:
        assert problem.path == "spec.loadTestTemplate.spec.scenarios[0].startTime"
