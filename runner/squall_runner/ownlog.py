"""The log of a runner process: its own words, beside the facts that the hub is told.

A pod always has one. On one machine, where the hub's log is at hand, it is made only when iterations are to be logged: what makes lines takes
a tenth of a second to load, which the first request would wait for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from squall.logs.choices import FORM_VARIABLE, LEVEL_VARIABLE, STANDARD_ERROR, form_of, level_of
from squall.spec.secrets import Secrets

if TYPE_CHECKING:
    from squall.hub.protocol import Assignment
    from squall.logs.log import Log


def open_log(assignment: Assignment) -> Log | None:
    """The log of the process that was given this assignment, if it is to have one.

    Raises:
        OSError: Its file cannot be opened.
    """
    if not assignment.log:
        return None
    from squall.logs.log import Log  # noqa: PLC0415 - see above

    metadata = assignment.manifest.get("metadata", {})
    spec = assignment.manifest.get("spec", {})
    wanted = ((spec.get("outputs") or {}).get("logs") or {}).get("level")
    log = Log(
        assignment.log,
        "runner",
        level=level_of(assignment.log_level, wanted, os.environ.get(LEVEL_VARIABLE)),
        form=form_of(os.environ.get(FORM_VARIABLE)),
        mask=Secrets(assignment.secrets).mask,
        context={
            "loadtest": metadata.get("name", ""),
            "namespace": metadata.get("namespace", ""),
            "run": assignment.run,
            "runner": assignment.runner,
        },
    )
    if assignment.log == STANDARD_ERROR:
        log.take_over()
    return log


def complain(event: str, **fields: Any) -> None:
    """Say on standard error why this process cannot do what it is for: the hub may never hear of it."""
    from squall.logs.log import Log  # noqa: PLC0415 - see above

    environ = os.environ
    log = Log(
        STANDARD_ERROR,
        "runner",
        level=level_of(environ.get(LEVEL_VARIABLE)),
        form=form_of(environ.get(FORM_VARIABLE)),
    )
    log.tell("error", event, fields)
    log.close()
