from __future__ import annotations

import resource

import pytest

from squall.errors import UsageError
from squall.local.files import make_room


@pytest.mark.parametrize(
    ("limits", "runners", "then"),
    [
        ((1024, 1024), 8, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 8, None),
        ((32, 1024), 8, (56, 1024)),
        ((32, resource.RLIM_INFINITY), 2, None),
        ((30, resource.RLIM_INFINITY), 2, (32, resource.RLIM_INFINITY)),
        ((30, 40), 8, (40, 40)),
    ],
)
def test_the_limit_is_raised_to_what_the_runners_take_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], runners: int, then: tuple[int, int] | None
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: asked.append(wanted))
    make_room(runners)
    assert asked == ([then] if then else [])


def test_a_limit_with_which_nothing_starts_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (12, 12))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(UsageError, match="may have 12 files open") as caught:
        make_room(1)
    assert "ulimit -n" in caught.value.hint
