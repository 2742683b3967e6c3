"""The manifests that must be right: those that people copy, and some that use every key there is."""

from pathlib import Path
from typing import Any

import yaml

from squall.spec.crd import RESOURCES
from squall.spec.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = ROOT / "tests" / "manifests" / "everything.yaml"

Json = dict[str, Any]


def good_manifests() -> dict[str, Json]:
    """Every manifest that people copy, and those below `tests/manifests/`, by its path (and place, when a file holds several)."""
    found: dict[str, Json] = {}
    for folder in ("examples", "deploy/pipelines", "tests/manifests"):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            documents = [
                each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if _is_ours(each)
            ]
            for number, document in enumerate(documents):
                name = str(path.relative_to(ROOT)) + (f"[{number}]" if len(documents) > 1 else "")
                found[name] = document
    return found


def committed_crds() -> list[Json]:
    """The CRDs as they stand in the repository."""
    return [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "crds").glob("*.yaml"))
    ]


def collection(manifest: Json, namespace: str = "default") -> str:
    """The path of the API under which objects of this manifest's kind live."""

    resource = RESOURCES[manifest["kind"]]
    inside = f"/namespaces/{namespace}" if resource.scope == "Namespaced" else ""
    return f"/apis/{manifest['apiVersion']}{inside}/{resource.plural}"


def _is_ours(document: Any) -> bool:
    return isinstance(document, dict) and document.get("kind") in KINDS
