"""What is delivered, and what it takes: `make bench-delivery`.

    images  what the images add to their base, compressed as a registry keeps them
    node    on a real node: from `helm install` to a ready operator, what operator and hub take when nothing runs, and how soon a runner is ready

Writes `build/bench/delivery.json`: a list of {name, value, unit, goal, holds}. `--only` measures some of the parts and keeps what was
measured of the others before. Both parts need root and Debian, as the images that the tests build do.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(
    str(Path(__file__).parent.parent / "tests")
)  # images and clusters are the tests' business as well

from harness.parts import measure_parts

if __name__ == "__main__":
    sys.exit(measure_parts("delivery", ("images", "node")))
