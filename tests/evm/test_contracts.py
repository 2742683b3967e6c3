"""Compiled contracts are what their sources say."""

from support import solc
from support.leftout import missing, skip_if_left_out


def test_what_is_committed_is_what_the_sources_compile_to():
    skip_if_left_out(solc.PART)
    try:
        made = solc.artifacts()
    except solc.SolcError as error:
        missing(solc.PART, str(error))
    changed = [path.name for path, content in made.items() if path.read_text(encoding="utf-8") != content]
    assert changed == [], "run `make contracts`"
