"""What runners see of the environment: what processes need, and none of what manifests take from it.

A secret variable is given through the environment of `squall`. Passed on, it would stand in that of every runner, where
whatever inspects processes or dumps their memory finds it, and where it is also within reach of Python steps that were
given no secret. Runners start before the manifest is known, so the names cannot be told apart: only these pass. What a
Python step wants from outside it is given as arguments, on one machine as on a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.logs.choices import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES: Final = frozenset(
    {
        "HOME", "HOSTALIASES", "LANG", "LANGUAGE", "LOCALDOMAIN", "LOGNAME", "PATH", "RES_OPTIONS", "SHELL",
        "SSLKEYLOGFILE", "SSL_CERT_DIR", "SSL_CERT_FILE", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "TZ", "TZDIR", "USER",
        "VIRTUAL_ENV", *VARIABLES,
    }
)  # fmt: skip
_PREFIXES: Final = ("COVERAGE_", "DYLD_", "LC_", "LD_", "MALLOC_", "OPENSSL_", "PYTHON", "XDG_")


def of_runners(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that runners are given, of those that this process has."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
