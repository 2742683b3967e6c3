"""Where variables come from, where they may stand, and that secrets never get out."""

from __future__ import annotations

import pytest
from support.problems import SCENARIOS, load, manifest, marked, problem_of, problems_of

from squall.spec.secrets import Secrets

VARIABLES = """
variables:
  - {name: host, value: "http://h", env: HOST}
  - {name: users, value: 5, env: USERS}
  - {name: hold, env: HOLD}
"""
USING = """
scenarios:
  - name: a
    executor: ramping-vus
    stages: [{duration: "${var.hold}", target: "${var.users}"}]
    steps:
      - http:
          url: "${var.host}/x/${var.users}"
          timeout: "${var.hold}"
          headers: {X-Users: "${var.users}"}
          json: {users: "${var.users}", text: "n=${var.users}"}
"""


def test_sources_in_their_order() -> None:
    text = manifest(VARIABLES, USING)
    environ = {"HOST": "http://env", "USERS": "6", "HOLD": "1m"}
    assert load(text, environ=environ).variables == {"host": "http://env", "users": 6, "hold": "1m"}
    given = load(text, environ=environ, variables={"host": "http://var", "hold": "2m"})
    assert given.variables == {"host": "http://var", "users": 6, "hold": "2m"}
    assert load(text, variables={"hold": "2m"}).variables == {"host": "http://h", "users": 5, "hold": "2m"}


def test_an_empty_environment_variable_gives_nothing() -> None:
    assert load(manifest(VARIABLES, USING), environ={"USERS": "", "HOLD": "1m"}).variables["users"] == 5


def test_values_take_the_type_that_is_wanted() -> None:
    model = load(manifest(VARIABLES, USING), variables={"hold": "90s", "users": "7"}).model
    stage, http = model.spec.scenarios[0].stages[0], model.spec.scenarios[0].steps[0].http  # type: ignore[index]
    assert (stage.duration, stage.target) == ("90s", 7)
    assert http is not None
    assert http.url == "http://h/x/7"
    assert http.headers == {"X-Users": "7"}
    assert http.json_body == {"users": 7, "text": "n=7"}


def test_text_from_outside_becomes_a_number_or_a_boolean_where_one_is_wanted() -> None:
    spec = """
        variables: [{name: n}, {name: keep}, {name: id}]
        shards: "${var.n}"
        http: {cookies: "${var.keep}", headers: {X: "${var.id}"}}
        """
    spec_model = load(manifest(spec), variables={"n": "3", "keep": "false", "id": "007"}).model.spec
    assert (spec_model.shards, spec_model.http.cookies, spec_model.http.headers) == (3, False, {"X": "007"})


def test_wrong_text_from_outside_is_placed_where_it_is_used() -> None:
    text, place = marked(manifest('variables: [{name: n}]\nshards: »"${var.n}"'))
    problem = problem_of(text, variables={"n": "many"})
    assert (problem.line, problem.column, problem.path) == (*place, "spec.shards")
    assert problem.message == '"many" is not a whole number'


def test_a_number_cannot_be_given_as_words() -> None:
    problem = problem_of(manifest(VARIABLES, USING), environ={"HOLD": "1s", "USERS": "many"})
    assert problem.path == "spec.variables[1]"
    assert (
        problem.message
        == 'the variable "users" is a whole number, but the environment variable USERS gives "many"'
    )


def test_a_variable_without_a_value_says_how_to_give_it() -> None:
    text, place = marked(manifest(VARIABLES.replace("- {name: hold", "- »{name: hold"), USING))
    problem = problem_of(text)
    assert (problem.line, problem.column) == place
    assert problem.message == 'the variable "hold" has no value'
    assert "give --var hold=..., or set the environment variable HOLD" in problem.hint


def test_a_variable_that_the_manifest_does_not_have() -> None:
    problem = problem_of(manifest(VARIABLES, USING), variables={"hold": "1s", "user": "5"})
    assert problem.render().startswith(
        '--var user: the manifest has no variable "user"; did you mean "users"?'
    )


def test_no_value_is_ever_evaluated_as_a_template() -> None:
    test = load(manifest(VARIABLES, USING), variables={"hold": "1s", "host": "http://${vu}"})
    http = test.model.spec.scenarios[0].steps[0].http
    assert http is not None
    assert http.url == "${var.host}/x/5"
    assert test.variables["host"] == "http://${vu}"


def test_the_effective_manifest_needs_no_environment_any_more() -> None:
    from squall.spec.printing import to_yaml

    first = load(manifest(VARIABLES, USING), environ={"HOST": "http://env", "HOLD": "1m"})
    again = load(to_yaml([first.data]), environ={"HOST": "http://other", "HOLD": "9m"})
    assert again.data == first.data
    assert again.model == first.model


SECRET = (
    "variables: [{name: pw, secret: {name: s, key: k}, env: PW}, {name: token, secret: {name: s, key: t}}]\n"
)
LOGIN = """
scenarios:
  - name: a
    executor: constant-vus
    vus: 1
    duration: 1s
    steps:
      - http:
          method: POST
          url: "http://h/${var.pw}"
          auth: {bearer: "${var.token}"}
          json: {password: "${var.pw}"}
"""
GIVEN = {"pw": "hunter2", "token": "tok-1"}


def test_secrets_stay_references_and_are_kept_apart() -> None:
    test = load(manifest(SECRET, LOGIN), variables={"token": "tok-1"}, environ={"PW": "hunter2"})
    assert dict(test.secrets) == GIVEN
    assert test.variables == {}
    assert "hunter2" not in str(test.data) + test.model.model_dump_json() + repr(test) + str(test.secrets)
    assert test.data["spec"]["scenarios"][0]["steps"][0]["http"]["json"] == {"password": "${var.pw}"}


def test_a_missing_secret_names_both_ways_to_give_it() -> None:
    text, place = marked(manifest(SECRET.replace("[{name: pw", "[»{name: pw"), LOGIN))
    problem = problem_of(text, variables={"token": "x"})
    assert (problem.line, problem.column, problem.path) == (*place, "spec.variables[0]")
    assert problem.message == 'the secret variable "pw" has no value here'
    assert problem.hint == "give --var pw=..., or set the environment variable PW"


def test_looking_needs_no_secrets() -> None:
    test = load(manifest(SECRET, LOGIN), complete=False)
    assert len(test.secrets) == 0
    assert test.warnings == (
        'variable "pw" has no value here: give --var pw=..., or set the environment variable PW',
        'variable "token" has no value here: give --var token=...',
    )


@pytest.mark.parametrize(
    "step",
    [
        "{name: »'x${var.pw}', think: {duration: 1s}}",
        "{http: {url: http://h/}, checks: {ok: »'body.pw == var.pw'}}",
        "{set: {x: »'${var.pw}'}}",
        "{if: {condition: »'var.pw == 1', then: [{think: {duration: 1s}}]}}",
        "{http: {url: http://h/}, tags: {t: »'${var.pw}'}}",
    ],
)
def test_secrets_stand_only_inside_requests(step: str) -> None:
    scenarios = f"scenarios: [{{name: a, executor: constant-vus, vus: 1, duration: 1s, steps: [{step}]}}]"
    text, place = marked(manifest(SECRET, scenarios))
    problems = problems_of(text, variables=GIVEN)
    assert {(problem.line, problem.column) for problem in problems} == {place}
    assert any("secret" in problem.message for problem in problems)


def test_secrets_outside_of_steps_are_refused() -> None:
    text, place = marked(
        manifest(SECRET + "outputs: {prometheus: {remoteWriteUrl: »'http://${var.pw}'}}", LOGIN)
    )
    problem = problem_of(text, variables=GIVEN)
    assert (problem.line, problem.column) == place
    assert problem.message == 'the secret variable "pw" cannot be used here'
    assert "only inside requests" in problem.hint


def test_inline_files_are_left_alone() -> None:
    test = load(
        manifest(
            "variables: [{name: a, value: b}]\nfiles: [{name: f, inline: 'x ${var.a} ${other}'}]", SCENARIOS
        )
    )
    assert test.files["f"].read() == b"x ${var.a} ${other}"


def test_masking() -> None:
    secrets = Secrets({"a": "abc", "b": "abcdef", "c": "1"})
    assert secrets.mask("abcdef abc 1") == "*** *** 1"
    assert repr(secrets) == "Secrets(a=***, b=***, c=***)"
