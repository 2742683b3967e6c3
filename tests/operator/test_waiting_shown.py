"""Which LoadTests wait for others to end is among what the operator tells of how all of them stand."""

from squall_operator.lasting import standing
from squall_operator.model import Deadlines


def load_test(name: str, **status: object) -> dict[str, object]:
    return {"metadata": {"namespace": "team", "name": name, "uid": name}, "status": status}


def test_those_that_a_policy_holds_back_have_a_position_and_no_others() -> None:
    all_of_them = [
        load_test("first", phase="Running"),
        load_test("second", phase="Queued", queuePosition=1),
        load_test("third", phase="Queued", queuePosition=2),
        load_test("halted", phase="Queued"),
    ]
    found = standing(all_of_them, lambda _: None, Deadlines(), 0.0)
    assert found.positions == {("team", "second"): 1, ("team", "third"): 2}
    assert found.phases == {"Running": 1, "Queued": 3}
