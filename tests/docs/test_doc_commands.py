"""Every command that the documentation shows exists, with its options; every link leads somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest
from support.documentation import PAGES, anchors, blocks, links, section, tables
from support.manifests import ROOT

from squall.cli.main import cli
from squall.errors import ExitCode
from squall.hub.__main__ import main as hub
from squall_operator.main import main as operator

_SETTING = re.compile(r"^(?:[A-Z_]+=\S+\s+)+")
_EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))


def _without_settings(line: str) -> str:
    return _SETTING.sub("", line.strip())


def _typed() -> list[tuple[str, str]]:
    """The lines of all console blocks, and the commands in the examples' comments."""
    lines = [
        (each.place, line) for each in blocks("console", "bash", "sh") for line in each.text.splitlines()
    ]
    for path in _EXAMPLES:
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.match(r"#\s{2,}(\S.*)", line)
            if found:
                lines.append((str(path.relative_to(ROOT)), found[1]))
    return [(place, _without_settings(line)) for place, line in lines if line.strip()]


def _mentioned() -> list[tuple[str, str]]:
    """Commands in running text."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        spans = [_without_settings(span) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
        found += [(str(page.relative_to(ROOT)), span) for span in spans]
    return found


TYPED = _typed()
SQUALL_TYPED = [each for each in TYPED if each[1].startswith("squall ")]
SQUALL_MENTIONED = [each for each in _mentioned() if re.match(r"squall [a-z]", each[1])]
MAKE = [each for each in [*TYPED, *_mentioned()] if re.match(r"make [a-z]", each[1])]


def _command(line: str) -> tuple[click.Context, click.Command, list[str]]:
    _, name, *arguments = shlex.split(line, comments=True)
    context = click.Context(cli, info_name="squall")
    command = cli.get_command(context, name)
    assert command is not None, f"there is no command {name}"
    return context, command, arguments


@pytest.mark.parametrize(("place", "line"), SQUALL_TYPED)
def test_a_command_line_could_be_run(place: str, line: str) -> None:
    context, command, arguments = _command(line)
    try:
        command.make_context(command.name, arguments, parent=context)
    except click.UsageError as error:
        pytest.fail(f"{place}: {line}: {error.format_message()}")


@pytest.mark.parametrize(("place", "line"), sorted(set(SQUALL_MENTIONED)))
def test_a_command_that_is_mentioned_exists(place: str, line: str) -> None:
    context, command, arguments = _command(line)
    try:
        command.make_parser(click.Context(command, parent=context)).parse_args(arguments)
    except click.UsageError as error:
        pytest.fail(f"{place}: {line}: {error.format_message()}")


def test_commands_were_found() -> None:
    commands = {line.split()[1] for _, line in SQUALL_TYPED}
    assert commands >= {"validate", "try", "plan", "run", "report", "runs", "compare"}
    assert {line.split()[1] for _, line in SQUALL_MENTIONED} >= {"show"}
    assert len(MAKE) > 5


def test_an_option_that_does_not_exist_would_be_found() -> None:
    context, command, arguments = _command("squall plan x.yaml --shard 3")
    with pytest.raises(click.UsageError, match="--shard"):
        command.make_context("plan", arguments, parent=context)


def test_all_options_that_are_told_in_prose_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """`--like this`, wherever it stands by itself: an option of some command, of the hub, the operator or a bundled tool."""
    known = {option for name in cli.list_commands(click.Context(cli)) for option in _options(name)}
    known |= {option for parameter in operator.params for option in parameter.opts}
    with pytest.raises(SystemExit):
        hub(["--help"])
    known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    known |= {"--validate", "--force-conflicts", "--check"}  # kubectl's, and the generator's
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for span in re.findall(r"(?<!`)`(--[a-z][a-z-]*)[^`]*`(?!`)", text):
            assert span in known, f"{page.name}: {span}"


def _options(name: str) -> set[str]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(("place", "line"), sorted(set(MAKE)))
def test_a_make_target_exists(place: str, line: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    assert line.split()[1] in targets, f"{place}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leads out of the repository"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize(
    ("page", "heading"), [("README.md", "Your own test"), ("docs/running.md", "Pipelines")]
)
def test_the_table_of_exit_codes_is_complete(page: str, heading: str) -> None:
    found = [table for table in tables(section(ROOT / page, heading)) if table[0][0] == "exit code"]
    assert [int(row[0]) for row in found[0][1:]] == [int(code) for code in ExitCode]
