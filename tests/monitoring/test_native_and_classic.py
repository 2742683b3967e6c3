"""The rules of load tests evaluated by a real Prometheus on what a real run pushes, in both forms of a histogram."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.countingtarget import counting_target
from support.prometheus import Prometheus, running_prometheus
from support.rights import DEPLOY, objects
from support.squallrun import Squall, manifest

pytestmark = pytest.mark.prometheus

RULES = DEPLOY / "components" / "workload-alerts" / "rules.yaml"
REFUSED = {"name": "refused", "http": {"url": "http://127.0.0.1:1/"}, "onError": "continue"}
STEPS = [
    {"name": "get", "http": {"url": "/"}, "checks": {"rpc is right": "status == 201"}},
    REFUSED,
    {"think": {"duration": "20ms"}},
]


def rules(folder: Path) -> Path:
    """The rules as Prometheus reads them, evaluated each second."""
    (found,) = objects(RULES)
    groups = [{**group, "interval": "1s"} for group in found["spec"]["groups"]]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    return path


def until(prometheus: Prometheus, query: str, seconds: float = 30.0) -> list[dict[str, Any]]:
    """What a query finds as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := prometheus.query(query)):
        assert time.monotonic() < deadline, f"nothing within {seconds:g} s: {query}"
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("form", ["native", "classic"])
def test_rates_percentiles_and_alerts_are_there_while_the_run_goes_on(form: str, tmp_path: Path) -> None:
    squall = Squall(tmp_path)
    with counting_target() as target, running_prometheus(rules=rules(tmp_path)) as prometheus:
        output = {"remoteWriteUrl": prometheus.remote_write_url, "histograms": form}
        made = manifest(target.url, duration="40s", steps=STEPS, outputs={"prometheus": output})
        run = squall(made)
        try:
            (rate,) = until(prometheus, "run:squall_http_reqs:rate1m > 1")
            assert rate["metric"].keys() == {"__name__", "loadtest", "run"}
            (failed,) = until(prometheus, "run:squall_http_req_failed:ratio_rate1m")
            assert float(failed["value"][1]) == pytest.approx(0.5, abs=0.1)
            for trend in ("total", "response_time"):
                (p95,) = until(prometheus, f"run:squall_http_req_{trend}_seconds:p95_1m > 0")
                assert float(p95["value"][1]) < 5
                buckets = prometheus.query(f"squall_http_req_{trend}_seconds_bucket")
                assert bool(buckets) == (form == "classic")
            for alert in ("LoadTestErrorRate", "LoadTestRpcSuccess"):
                (found,) = until(prometheus, f'ALERTS{{alertname="{alert}"}}')
                assert found["metric"]["loadtest"] == "fault"
            run.signal(signal.SIGINT)
            until(prometheus, 'squall_run_phase{phase="finished"} == 1')
            until(prometheus, "absent(ALERTS)")
        finally:
            squall.close()
