"""Where the API server keeps the kinds that Squall has to do with."""

from __future__ import annotations

import re
from typing import Final

from squall.errors import SquallError
from squall.spec.base import API_VERSION

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.:-]*[a-z0-9])?", re.IGNORECASE)
"""No slash, and no name that is all dots: what a name may be is the API server's to say."""

GROUPS: Final = {
    "configmaps": "api/v1",
    "events": "api/v1",
    "nodes": "api/v1",
    "pods": "api/v1",
    "secrets": "api/v1",
    "jobs": "apis/batch/v1",
    "selfsubjectaccessreviews": "apis/authorization.k8s.io/v1",
    "selfsubjectreviews": "apis/authentication.k8s.io/v1",
    "subjectaccessreviews": "apis/authorization.k8s.io/v1",
    "validatingwebhookconfigurations": "apis/admissionregistration.k8s.io/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "loadtests": f"apis/{API_VERSION}",
    "loadtestschedules": f"apis/{API_VERSION}",
    "loadtestpolicies": f"apis/{API_VERSION}",
}


def collection(plural: str, namespace: str = "") -> str:
    """The path of a collection; without a namespace, of all of them."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"/{GROUPS[plural]}{within}/{plural}"


def named(plural: str, namespace: str, name: str, subresource: str = "") -> str:
    """The path of an object, or of a part of it such as its status.

    Raises:
        SquallError: The name is none: it would lead to another object, whatever the rights of whoever has written it.
    """
    if not _NAME.fullmatch(name):
        raise SquallError(f"{name!r} is no name of an object")
    return f"{collection(plural, namespace)}/{name}" + (f"/{subresource}" if subresource else "")
