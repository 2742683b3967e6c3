"""Writes every generated file: what comes from the models, the reference pages that come from the code, and the chart.

    python -m squall.cli.generate            writes them
    python -m squall.cli.generate --check    shows what would change, and exits 1 if anything would

It stands here because the pages need packages that the models may not import.
"""

from __future__ import annotations

import sys
from pathlib import Path

from squall.cli.chart import chart_files
from squall.cli.pages import expressions_page, logs_page, metrics_page, prometheus_page
from squall.spec import generate


def generated_files() -> dict[Path, str]:
    """Every generated file: its path below the repository's root, and its text."""
    return {
        **generate.generated_files(),
        **chart_files(),
        Path("docs", "reference", "expressions.md"): expressions_page(),
        Path("docs", "reference", "logs.md"): logs_page(),
        Path("docs", "reference", "metrics.md"): metrics_page(),
        Path("docs", "reference", "prometheus.md"): prometheus_page(),
    }


if __name__ == "__main__":
    sys.exit(generate.main(files=generated_files))
