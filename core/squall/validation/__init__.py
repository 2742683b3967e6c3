"""One door for everybody who has a manifest and wants to run, show or admit it.

    tests = load_effective(["loadtest.yaml"], Options(variants=("smoke",), environ=os.environ))
    tests[0].model      # a LoadTest, resolved and changed
    tests[0].secrets    # apart; never in `model` or `data`

Raises `ManifestError` with every problem of every document at once. It stands above the verdict, since thresholds
and the plan are checked too.
"""

from squall.spec.options import Options
from squall.spec.problems import ManifestError, Problem
from squall.validation.loading import (
    EffectiveManifest,
    Resource,
    load_effective,
    load_one,
    load_resources,
    load_stored,
    load_text,
)

__all__ = [
    "EffectiveManifest",
    "ManifestError",
    "Options",
    "Problem",
    "Resource",
    "load_effective",
    "load_one",
    "load_resources",
    "load_stored",
    "load_text",
]
