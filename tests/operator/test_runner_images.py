"""Which image runners get: that of the installation for what their steps need, unless the LoadTest names one."""

from __future__ import annotations

from typing import Any

import pytest
from support.jobs import container_of

from squall_operator.checked import check
from squall_operator.settings import RunnerDefaults

PLAIN, LARGER, OWN = "r/runner:1", "r/runner-evm:1", "own:1"
DEFAULTS = RunnerDefaults(image=PLAIN, evm_image=LARGER)
ENCRYPTION = {"encrypt": {"data": "a", "password": "b", "result": "c"}}
CHAIN = {"chainId": 31337, "endpoints": [{"name": "one", "url": "http://node.example"}]}


def body(*steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    scenario = {"name": "s", "executor": "shared-iterations", "iterations": 1, "vus": 1, "steps": list(steps)}
    kind = {"apiVersion": "squall.dev/v1alpha1", "kind": "LoadTest"}
    return {**kind, "metadata": {"name": "shop"}, "spec": {"scenarios": [scenario], **spec}}


def images(document: dict[str, Any], defaults: RunnerDefaults) -> set[str]:
    """The image that the pods have, and the one that policies are asked about."""
    checked = check(document, defaults)
    assert checked.facts is not None, checked.problems
    return {container_of(document, defaults)["image"], *checked.facts.images}


@pytest.mark.parametrize(
    ("document", "image"),
    [
        (body({"think": {"duration": "1s"}}), PLAIN),
        (body({"http": {"method": "POST", "url": "http://a", "json": {"evm": {}, "encrypt": {}}}}), PLAIN),
        (body({"think": {"duration": "1s"}}, evm=CHAIN), LARGER),
        (body(ENCRYPTION), LARGER),
        (body({"repeat": {"times": 2, "steps": [{"group": {"steps": [ENCRYPTION]}}]}}), LARGER),
        (body({"if": {"condition": "vu > 1", "then": [ENCRYPTION]}}), LARGER),
        (body({"think": {"duration": "1s"}}, teardown={"steps": [ENCRYPTION]}), LARGER),
        (body(ENCRYPTION, runner={"image": OWN}), OWN),
    ],
)
def test_runners_get_the_image_that_their_steps_need(document: dict[str, Any], image: str) -> None:
    assert images(document, DEFAULTS) == {image}


def test_without_a_second_image_all_have_the_first() -> None:
    assert images(body(ENCRYPTION, evm=CHAIN), RunnerDefaults(image=PLAIN)) == {PLAIN}
