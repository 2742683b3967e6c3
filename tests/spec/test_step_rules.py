"""What a step may say of its failures: only what can have an effect."""

import pytest
from pydantic import ValidationError

from squall.spec.steps import Step

THINK = {"think": {"duration": "1s"}}
CHECK = {"check": {"positive": "amount > 0"}}
VALUE = {"record": {"gauge": "amount", "value": "amount"}}


@pytest.mark.parametrize(
    "step",
    [
        {**THINK, "onError": "endIteration"},
        {**CHECK, "onError": "endIteration"},
        {**THINK, **VALUE, "onError": "continue"},
        {**CHECK, **VALUE, "onError": "abortRun"},
        {"set": {"amount": 1}, "onError": "continue"},
        {"group": {"steps": [THINK]}, "onError": "continue"},
        {"parallel": {"branches": [{"steps": [THINK]}]}, "onError": "abortRun"},
    ],
)
def test_on_error_belongs_where_something_can_fail(step):
    Step.model_validate(step)


@pytest.mark.parametrize("step", [THINK, CHECK, {**THINK, "record": {"trend": "pause"}}])
@pytest.mark.parametrize("policy", ["continue", "abortRun"])
def test_on_error_is_refused_where_nothing_can_fail(step, policy):
    with pytest.raises(ValidationError, match="a think or check step cannot fail"):
        Step.model_validate({**step, "onError": policy})
