"""The kinds of resources, by the name that `kind` has in a manifest."""

from squall.spec.loadtest import LoadTest
from squall.spec.policy import LoadTestPolicy
from squall.spec.schedule import LoadTestSchedule

KINDS: dict[str, type[LoadTest | LoadTestSchedule | LoadTestPolicy]] = {
    "LoadTest": LoadTest,
    "LoadTestSchedule": LoadTestSchedule,
    "LoadTestPolicy": LoadTestPolicy,
}
