"""`squall plan` as a user calls it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from squall.cli.plan import plan
from squall.errors import ExitCode
from squall.spec.problems import ManifestError

MANIFEST = """
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: shop}
spec:
  http: {baseUrl: "http://127.0.0.1:1"}
  variables: [{name: peak, value: 40}, {name: token, secret: {name: shop, key: token}}]
  shards: 4
  scenarios:
    - name: browse
      executor: ramping-vus
      stages: [{duration: 1m, target: "${var.peak}"}, {name: hold, duration: 2m, target: "${var.peak}"}]
      steps: [{http: {url: /, headers: {Authorization: "${var.token}"}}}, {think: {duration: 1s}}]
    - name: orders
      executor: constant-arrival-rate
      rate: 20
      duration: 30s
      placement: {shards: "2-3"}
      steps: [{http: {url: /order}}, {http: {url: /pay}}]
"""


@pytest.fixture
def manifest(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(MANIFEST)
    return str(file)


def call(*arguments):
    return CliRunner().invoke(plan, arguments, catch_exceptions=False, env={"COLUMNS": "80"})


def test_it_draws_the_plan_without_needing_secrets(manifest):
    result = call(manifest)
    assert result.exit_code == 0
    assert "shop: 2 scenarios on 4 shards, 3m" in result.stdout
    assert "╵hold" in result.stdout
    assert "600" in result.stdout
    assert "token" in result.stderr  # a warning, not an error


def test_it_prints_the_plan_as_json(manifest):
    document = json.loads(call(manifest, "--json").stdout)
    browse, orders = document["scenarios"]
    assert (browse["peak"], browse["requestsPerIteration"]) == (40, {"least": 1, "most": 1})
    assert (orders["iterations"], orders["shards"], orders["requestsPerIteration"]["most"]) == (
        600,
        [2, 3],
        2,
    )
    assert [share["iterations"] for share in document["shares"]] == [None, 300, 300, None]


def test_options_change_what_is_planned(manifest):
    document = json.loads(
        call(manifest, "--json", "--shards", "8", "--scenario", "browse", "--var", "peak=70").stdout
    )
    assert (document["shards"], document["maxVUs"], len(document["scenarios"])) == (8, 70, 1)


def test_more_shards_make_room_for_placements(manifest):
    arguments = [manifest, "--json", "--set", 'scenarios.orders.placement.shards="6"']
    assert json.loads(call(*arguments, "--shards", "6").stdout)["scenarios"][1]["shards"] == [6]


def test_what_cannot_be_planned_is_said_with_its_place(manifest):
    with pytest.raises(ManifestError) as raised:
        call(manifest, "--shards", "2")
    assert raised.value.exit_code == ExitCode.MANIFEST
    assert (
        "spec.scenarios[1].placement.shards (orders): shard 3 is named, but the run has 2"
        in raised.value.message
    )
