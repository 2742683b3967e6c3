"""Files out of published Go modules: the CRDs of other projects, without their releases being within reach."""

import json
import shutil
import subprocess
from pathlib import Path

from support.kubebin import KubeBinariesError

SECONDS = 300


def module_folder(module: str) -> Path:
    """The folder of a module of Go's own cache; fetched when it is not there.

    Args:
        module: With its version, such as `example.com/module@v1.0.0`.

    Raises:
        KubeBinariesError: There is no Go tool chain, or no such module.
    """
    go = shutil.which("go")
    if go is None:
        raise KubeBinariesError(f"{module} must be fetched and there is no `go` on the PATH")
    done = subprocess.run(
        [go, "mod", "download", "-json", module], capture_output=True, text=True, check=False, timeout=SECONDS
    )
    if done.returncode != 0:
        raise KubeBinariesError(f"{module} cannot be fetched: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])
