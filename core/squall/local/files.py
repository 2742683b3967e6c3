"""Whether this process may open the files that starting the runners takes, asked before the first is opened.

Without them not even an event loop can be made, and what fails then tells of sockets and pipes instead of the limit.
"""

from __future__ import annotations

import resource
from typing import Final

from squall.errors import UsageError

_OWN: Final = 24
"""For one runner: the modules, the event loop, the hub, the results and the pipes of the runner."""
_PER_RUNNER: Final = 4


def make_room(runners: int) -> None:
    """Raise the soft limit of open files to what so many runners at most need here, as far as the hard limit allows.

    Raises:
        UsageError: It does not even suffice for one.
    """
    wanted = _OWN + _PER_RUNNER * runners
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < _OWN:
        message = f"this process may have {soft} files open, and a run takes more than that before any load"
        raise UsageError(message, hint="allow it more (`ulimit -n 1024`)")
