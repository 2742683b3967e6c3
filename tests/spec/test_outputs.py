"""`spec.outputs`: what is refused, and what becomes of a manifest that is right."""

from __future__ import annotations

from typing import Any

import pytest
from support.problems import SCENARIOS, load, manifest, marked, problem_of

from squall.export.manifest import run_labels, settings_of

URL = "remoteWriteUrl: http://h:9090/api/v1/write"


@pytest.mark.parametrize(
    ("output", "path", "message"),
    [
        ("remoteWriteUrl: »prometheus:9090", "remoteWriteUrl", "not where anything could be pushed"),
        ("remoteWriteUrl: »/api/v1/write", "remoteWriteUrl", "not where anything could be pushed"),
        ("remoteWriteUrl: »'http://me:pw@h/'", "remoteWriteUrl", "credentials in a URL"),
        (f"{URL}, tls: {{caFile: »ca.pem}}", "tls.caFile", 'there is no file "ca.pem"'),
        (f"{URL}, labels: {{»run: x}}", "labels.run", "a label that Squall sets"),
        (f"{URL}, histograms: classic, »histogramSchema: 3", "histogramSchema", "have no schema"),
        (f"{URL}, histogramSchema: »7", "histogramSchema", "7"),
        (f"{URL}, »compression: zstd", "compression", "compression"),
        (f"{URL}, »auth: {{}}", "auth", "needs one of basic, bearer"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(output: str, path: str, message: str) -> None:
    text, place = marked(manifest(f"outputs: {{prometheus: {{{output}}}}}", SCENARIOS))
    problem = problem_of(text)
    assert (problem.line, problem.column) == place
    assert problem.path == f"spec.outputs.prometheus.{path}"
    assert message in problem.message


def made(output: str, declared: str = "", **given: Any) -> Any:
    test = load(manifest(f"{declared}\noutputs: {{prometheus: {{{output}}}}}", SCENARIOS), **given)
    outputs = test.model.spec.outputs
    assert outputs is not None
    assert outputs.prometheus is not None
    return test, settings_of(outputs.prometheus, secrets=test.secrets, files={"ca": "/x/ca.pem"})


SECRET = "variables: [{name: pw, secret: {name: s, key: k}, env: PW}, {name: host, value: h}]"


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ("{bearer: '${var.pw}'}", "Bearer s3cret"),
        ("{bearer: 'a-${var.pw}$${x}'}", "Bearer a-s3cret${x}"),
        ("{basic: {username: me, password: '${var.pw}'}}", "Basic bWU6czNjcmV0"),
    ],
)
def test_secrets_are_for_authentication_and_stay_references(auth: str, header: str) -> None:
    test, settings = made(f"{URL}, auth: {auth}", SECRET, variables={"pw": "s3cret"})
    assert settings.receiver.authorization() == header
    assert "s3cret" not in str(test.data)
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("key", ["tenant", "labels: {team", "remoteWriteUrl"])
def test_secrets_stand_nowhere_else(key: str) -> None:
    value = "»'${var.pw}'" + ("}" if "{" in key else "")
    output = f"{key}: {value}" if key == "remoteWriteUrl" else f"{URL}, {key}: {value}"
    text, place = marked(manifest(f"{SECRET}\noutputs: {{prometheus: {{{output}}}}}", SCENARIOS))
    problem = problem_of(text, variables={"pw": "x"})
    assert (problem.line, problem.column) == place
    assert "cannot be used here" in problem.message


def test_what_is_said_is_what_is_done() -> None:
    output = (
        "remoteWriteUrl: 'http://${var.host}:9090/w', tenant: t, histogramSchema: 4, labels: {team: a, area: b}, "
        "maxSeries: 500, buffer: 1MiB, tls: {serverName: n, insecureSkipVerify: true}"
    )
    test, settings = made(output, SECRET, variables={"pw": "x"})
    receiver, form = settings.receiver, settings.form
    assert (receiver.url, receiver.tenant) == ("http://h:9090/w", "t")
    assert (receiver.server_name, receiver.insecure_skip_verify) == ("n", True)
    assert (form.histograms, form.schema, form.max_series) == ("native", 4, 500)
    assert form.labels == (("area", "b"), ("team", "a"))
    assert settings.buffer_bytes == 2**20
    assert run_labels(test.model, "r1") == (("loadtest", test.name), ("run", "r1"))


@pytest.mark.parametrize(
    ("logs", "path", "message"),
    [
        ("{level: »loud}", "level", "loud"),
        ("{»format: json}", "format", "format"),
        ("{iterations: {sample: »5}}", "iterations.sample", "5"),
        ("{iterations: {maxPerSecond: »0}}", "iterations.maxPerSecond", "0"),
        ("{level: »error, iterations: {}}", "level", "no iteration is ever logged"),
        ("{level: »warning, iterations: {failures: false}}", "level", "nothing would be logged"),
        ("{iterations: {sample: »0%, failures: false}}", "iterations.sample", "nothing would be logged"),
        ("{iterations: {sample: »0, failures: false}}", "iterations.sample", "nothing would be logged"),
    ],
)
def test_a_log_of_nothing_is_refused_as_well(logs: str, path: str, message: str) -> None:
    text, place = marked(manifest(f"outputs: {{logs: {logs}}}", SCENARIOS))
    problem = problem_of(text)
    assert (problem.line, problem.column) == place
    assert problem.path == f"spec.outputs.logs.{path}"
    assert message in problem.message


@pytest.mark.parametrize(
    "logs",
    [
        "{}",
        "{level: error}",
        "{level: warning, iterations: {}}",
        "{iterations: {sample: 0%}}",
        "{iterations: {sample: '${var.share}', failures: false, maxPerSecond: '${var.most}'}}",
    ],
)
def test_a_log_of_something_is_well(logs: str) -> None:
    declared = "variables: [{name: share, value: 10%}, {name: most, value: 7}]"
    outputs = load(manifest(f"{declared}\noutputs: {{logs: {logs}}}", SCENARIOS)).model.spec.outputs
    assert outputs is not None
    assert outputs.logs is not None
