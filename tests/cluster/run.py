"""Run the tests' cluster for people: `make cluster`; Ctrl-C ends it and removes everything.

What it prints is all that `kubectl`, Helm or Squall need to use it.
"""

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.cluster.cluster import prepare_cluster, running_cluster
from support.cluster.machine import MachineError
from support.kubebin import KubeBinariesError, binaries, cache_folder
from support.processes import ProcessError


def main() -> int:
    """Run the cluster until somebody ends it."""
    # Both, since whatever a script starts in the background ignores the latter.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        try:
            prepare_cluster()
            binaries(["kubectl"])
            begun = time.monotonic()
            with running_cluster() as cluster:
                sys.stdout.write(
                    f"\nThe cluster is ready after {time.monotonic() - begun:.0f} s: Kubernetes with one node.\n\n"
                    f"    export KUBECONFIG={cluster.plane.kubeconfig} PATH={cache_folder()}:$PATH\n"
                    "    kubectl get nodes\n\n"
                    "Ctrl-C ends it and removes everything.\n"
                )
                sys.stdout.flush()
                signal.pause()
        except (MachineError, KubeBinariesError, ProcessError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
