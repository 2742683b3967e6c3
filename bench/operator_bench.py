"""What the operator and the hub cost, how quickly they act, and how they bear many runs at once: `make bench-operator`.

    hub     1,000 shards on one run: CPU, lag and memory of the hub, and how quickly a stop reaches all
    calls   calls to the Kubernetes API: for a run, whatever its number of shards, and for LoadTests that are idle
    fleet   100 runs at once: CPU and memory of the operator, age of each status, all verdicts
    node    four real pods: how soon they start together, how soon all of them are quiet after a breach

Writes `build/bench/operator.json`: a list of {name, value, unit, goal, holds}. `--only` measures some of the parts and keeps what was
measured of the others before. All parts but `hub` need the binaries of Kubernetes that the tests build; `node` needs root.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(
    str(Path(__file__).parent.parent / "tests")
)  # clusters and processes are the tests' business as well

from harness.parts import measure_parts

if __name__ == "__main__":
    sys.exit(measure_parts("operator", ("hub", "calls", "fleet", "node")))
