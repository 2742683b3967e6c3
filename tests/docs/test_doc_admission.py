"""What the page on admission shows of refusals is what the webhook says."""

import copy
from typing import Any

from support.documentation import blocks

from squall_operator import policies
from squall_operator.admission.review import (
    MOST_REFERENCES,
    SHOWN,
    missing_right,
    read_request,
    refuse,
    review,
)
from squall_operator.admission.server import AT_ONCE, MOST_BYTES, SECONDS
from squall_operator.settings import RunnerDefaults

REFUSALS = [
    each for each in blocks("") if each.page.name == "admission.md" and "denied the request" in each.text
]
TEXT = REFUSALS[0].page.read_text(encoding="utf-8")
SHOP: dict[str, Any] = {
    "apiVersion": "squall.dev/v1alpha1",
    "kind": "LoadTest",
    "metadata": {"name": "shop", "namespace": "team-a"},
    "spec": {
        "variables": [
            {"name": "host", "value": "http://shop.example"},
            {"name": "password", "secret": {"name": "shop", "key": "password"}},
        ],
        "scenarios": [
            {
                "name": "look",
                "executor": "constant-vus",
                "vus": 200,
                "duration": "1m",
                "steps": [{"http": {"url": "${var.host}/"}}],
            }
        ],
        "thresholds": [{"metric": "http_req_failed", "expression": "rate<1%"}],
    },
}


def said(body: dict[str, Any]) -> str:
    request = read_request(
        {
            "request": {
                "uid": "u",
                "kind": {"kind": "LoadTest"},
                "namespace": "team-a",
                "userInfo": {"username": "jane"},
                "object": body,
            }
        }
    )
    limits = {"limits": policies.read({"spec": {"maxVUs": 100}})} if body is SHOP else {}
    found = review(request, limits, RunnerDefaults(image="runner"))
    lacking = [missing_right(each, "jane", "team-a") for each in found.references]
    return str(refuse(request, found, lacking)["response"]["status"]["message"])


def test_refusals_read_as_the_page_shows_them() -> None:
    wrong = copy.deepcopy(SHOP)
    wrong["spec"]["scenarios"][0]["steps"][0]["http"]["url"] = "${var.hots}/"
    wrong["spec"]["thresholds"][0]["expression"] = "p(95)<2s"
    first, second = (each.text.partition("denied the request: ")[2].strip() for each in REFUSALS)
    assert said(wrong) == first
    assert said(SHOP) == second


def test_limits_are_those_of_the_page() -> None:
    assert f"at most {SHOWN} of them" in TEXT
    assert f"may name {MOST_REFERENCES} Secrets" in TEXT
    assert f"gives up after {SECONDS:g} s" in TEXT
    assert f"may have {MOST_BYTES // 2**20} MiB, {AT_ONCE} are taken at a time" in TEXT
