"""Writes the dashboards as Grafana reads them.

    python -m squall_dashboards            writes them
    python -m squall_dashboards --check    shows what would change, and exits 1 if anything would

`make generate` and `make lint` call it. It has a command of its own, as it needs a package that nobody needs who uses Squall.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import RowPanel

from squall.spec import generate
from squall_dashboards.compare import compare
from squall_dashboards.fleet import fleet
from squall_dashboards.operators import operator
from squall_dashboards.run import run


class _Encoder(JSONEncoder):
    def default(self, obj: Any) -> Any:
        made = super().default(obj)
        if isinstance(obj, RowPanel):
            # The builder gives each row the same number; Grafana numbers what has none.
            del made["id"]
        return made


def generated_files() -> dict[Path, str]:
    """Every dashboard: its path below the repository's root, and its text."""
    made = (each().build() for each in (run, fleet, compare, operator))
    return {
        Path("dashboards", f"{each.uid}.json"): json.dumps(each, cls=_Encoder, indent=1, sort_keys=True)
        + "\n"
        for each in made
    }


if __name__ == "__main__":
    sys.exit(generate.main(files=generated_files))
