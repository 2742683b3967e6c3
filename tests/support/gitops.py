"""Health as Argo CD and Flux judge it: the files below `deploy/` that tell them how, run as they run them.

A script or an expression that nobody has run is a guess, and a wrong one shows as a sync that never ends or as a gate that lets everything
through. Argo CD runs Lua 5.1 with few of its libraries; Flux evaluates CEL in a fixed order, and an expression that speaks of a field that is
not there makes it wait. Both are kept to here.
"""

from functools import cache
from typing import Any

import yaml
from cel_expr_python import cel
from lupa.lua51 import LuaRuntime
from support.manifests import ROOT

from squall.spec.base import API_GROUP

Json = dict[str, Any]

ARGO_PATCH = ROOT / "deploy" / "argocd" / "argocd-cm.yaml"
ARGO_APPLICATION = ROOT / "deploy" / "argocd" / "application.yaml"
FLUX_KUSTOMIZATION = ROOT / "deploy" / "flux" / "load-tests.yaml"
_WITHOUT_LIBRARIES = """
debug.setmetatable("", nil)
for _, name in ipairs({"string", "math", "io", "coroutine", "debug", "python"}) do _G[name] = nil end
"""
"""What Argo CD does not open for a script without `useOpenLibs`: all but the base, `package`, `table` and a safe `os`."""


@cache
def argo_scripts() -> dict[str, str]:
    """The health scripts, by kind."""
    data = yaml.safe_load(ARGO_PATCH.read_text(encoding="utf-8"))["data"]
    start = f"resource.customizations.health.{API_GROUP}_"
    return {key.removeprefix(start): text for key, text in data.items() if key.startswith(start)}


def argo_health(body: Json) -> tuple[str, str]:
    """The health that Argo CD shows of an object, and the message beside it."""
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    lua.execute(_WITHOUT_LIBRARIES)
    lua.globals().obj = lua.table_from(body, recursive=True)
    health = lua.execute(argo_scripts()[body["kind"]])
    return str(health["status"]), str(health["message"])


@cache
def flux_expressions() -> dict[str, dict[str, str]]:
    """The health check expressions, by kind."""
    spec = yaml.safe_load(FLUX_KUSTOMIZATION.read_text(encoding="utf-8"))["spec"]
    return {each["kind"]: each for each in spec["healthCheckExprs"]}


def flux_status(body: Json) -> str:
    """What Flux takes an object for: it waits while that is `InProgress` or `Unknown`, an expression that failed."""
    observed = body.get("status", {}).get("observedGeneration")
    if observed is not None and observed != body["metadata"].get("generation"):
        return "InProgress"
    expressions = flux_expressions()[body["kind"]]
    for name, status in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        if name not in expressions:
            continue
        found = cel.NewEnv().compile(expressions[name], disable_check=True).eval(data=body)
        if found.type() == cel.Type.ERROR:
            return "Unknown"
        assert found.type() == cel.Type.BOOL, found
        if found.value():
            return status
    return "InProgress"


def kstatus(body: Json) -> str:
    """What tools that know nothing of Squall take an object for, by the rules of kstatus for custom resources."""
    metadata, status = body["metadata"], body.get("status", {})
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if status.get("observedGeneration", metadata.get("generation")) != metadata.get("generation"):
        return "InProgress"
    conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"
