"""Manifests that are wrong in one place, and what is said of them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from squall.validation import EffectiveManifest, ManifestError, Options, Problem, load_text

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """\
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: shop}
spec:
"""
SCENARIOS = """\
scenarios:
  - name: signup
    executor: ramping-vus
    stages: [{duration: 1m, target: 5}, {name: hold, duration: 2m, target: 5}]
    steps:
      - name: join
        http: {url: "http://127.0.0.1/join"}
"""


def manifest(spec: str = "", scenarios: str = SCENARIOS) -> str:
    """A LoadTest with this spec (dedented), followed by its scenarios. The first line of `spec` is line 5."""
    body = textwrap.dedent(spec).strip("\n")
    return HEAD + textwrap.indent((body + "\n" if body else "") + textwrap.dedent(scenarios), "  ")


def marked(text: str) -> tuple[str, tuple[int, int]]:
    """A text without its mark », and the line and column of what stood behind it."""
    before, found, after = text.partition("»")
    assert found, "no place is marked"
    return before + after, (before.count("\n") + 1, len(before) - before.rfind("\n"))


def load(text: str, **options: Any) -> EffectiveManifest:
    """The one LoadTest of a text."""
    (resource,) = load_text(text, Options(**options), file="t.yaml")
    assert resource.test is not None
    return resource.test


def problems_of(text: str, **options: Any) -> tuple[Problem, ...]:
    """What is wrong with a text."""
    with pytest.raises(ManifestError) as caught:
        load_text(text, Options(**options), file="t.yaml")
    return caught.value.problems


def problem_of(text: str, **options: Any) -> Problem:
    """The only thing that is wrong with a text."""
    problems = problems_of(text, **options)
    assert len(problems) == 1, "\n".join(problem.render() for problem in problems)
    return problems[0]


def write(path: Path, text: str) -> str:
    """Write a file; its name as a command line would have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)
