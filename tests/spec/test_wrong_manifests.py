"""Each way to get a manifest wrong: where it is reported, what is said, what is advised."""

from __future__ import annotations

import pytest
from support.problems import HEAD, SCENARIOS, load, manifest, marked, problem_of, problems_of

# spec, scenarios, path, a part of the message, a part of the hint; » marks the place
STEPS = "scenarios: [{{name: a, executor: constant-vus, vus: 1, duration: 1m, steps: [{}]}}]"


def one_step(step: str) -> str:
    return STEPS.format(step)


GET = "http: {url: http://h/}"
CASES = {
    "unknown key": (
        "http: {»timeuot: 5s}",
        SCENARIOS,
        "spec.http.timeuot",
        'unknown key "timeuot"; did you mean "timeout"?',
        "valid here: auth, balancing, baseUrl",
    ),
    "snake case": (
        "http: {»base_url: x}",
        SCENARIOS,
        "spec.http.base_url",
        'did you mean "baseUrl"?',
        "valid",
    ),
    "a token that depends on the VU": (
        "",
        one_step(
            "{http: {url: http://h/, auth: {oauth2: {tokenUrl: http://h/t, clientId: »'vu-${vu}', clientSecret: s}}}}"
        ),
        "spec.scenarios[0].steps[0].http.auth.oauth2.clientId",
        "there is no 'vu' here",
        "known here: run, var",
    ),
    "a token from a path without a base": (
        "http: {auth: {oauth2: {tokenUrl: »/token, clientId: a, clientSecret: s}}}",
        one_step("{" + GET + "}"),
        "spec.http.auth.oauth2.tokenUrl",
        '"/token" is a path, but there is no base URL',
        "set spec.http.baseUrl",
    ),
    "two credentials of all requests": (
        "http: {auth: {bearer: a}, headers: {»authorization: Basic b}}",
        one_step("{" + GET + "}"),
        "spec.http.headers.authorization",
        "beside auth, this would be a second credential",
        "leave out one of the two",
    ),
    "two credentials of a poll": (
        "",
        one_step(
            "{poll: {until: 'true', http: {url: http://h/, auth: {bearer: a}, headers: {»Authorization: Basic b}}}}"
        ),
        "spec.scenarios[0].steps[0].poll.http.headers.Authorization",
        "beside auth, this would be a second credential",
        "leave out one of the two",
    ),
    "a proxy of another kind": (
        "http: {proxy: {url: »socks5://proxy:1080}}",
        one_step("{" + GET + "}"),
        "spec.http.proxy.url",
        '"socks5://proxy:1080" is no HTTP proxy',
        "write http://host:port",
    ),
    "credentials in the URL of a proxy": (
        "http: {proxy: {url: »http://me:secret@proxy:1080}}",
        one_step("{" + GET + "}"),
        "spec.http.proxy.url",
        "credentials in the URL of a proxy are not sent",
        "write them into http.proxy.auth",
    ),
    "a proxy that depends on the VU": (
        "http: {proxy: {url: 'http://proxy:1080', auth: {username: »'u${vu}', password: p}}}",
        one_step("{" + GET + "}"),
        "spec.http.proxy.auth.username",
        "there is no 'vu' here",
        "known here: run, var",
    ),
    "a network that is none": (
        "http: {proxy: {url: 'http://proxy:1080', noProxy: [»10.0.0.1/8]}}",
        one_step("{" + GET + "}"),
        "spec.http.proxy.noProxy[0]",
        '"10.0.0.1/8" is neither a host nor a network',
        ".example.com or 10.0.0.0/8",
    ),
    "a pattern with a star": (
        "http: {proxy: {url: 'http://proxy:1080', noProxy: [a.example, »'*.example']}}",
        one_step("{" + GET + "}"),
        "spec.http.proxy.noProxy[1]",
        '"*.example" is neither a host nor a network',
        ".example.com or 10.0.0.0/8",
    ),
    "fewer shared connections than shards": (
        "shards: 4\nhttp: {sharedConnections: »3}",
        one_step("{" + GET + "}"),
        "spec.http.sharedConnections",
        "3 connections cannot be shared by 4 shards",
        "allow 4 or more, or use fewer shards",
    ),
    "misspelt required key": (
        "",
        "scenarios: [{name: a, executor: ramping-vus, »stagse: [], steps: [{http: {url: http://h/}}]}]",
        "spec.scenarios[0].stagse",
        'did you mean "stages"?',
        "valid here",
    ),
    "limit beside times": (
        "",
        one_step("{repeat: {limit: 10, »times: 3, steps: [{" + GET + "}]}}"),
        "spec.scenarios[0].steps[0].repeat.times",
        "limit belongs to while",
        "leave out limit or times",
    ),
    "times as a text that is no number": (
        "",
        one_step("{repeat: {times: »often, steps: [{" + GET + "}]}}"),
        "spec.scenarios[0].steps[0].repeat.times",
        '"often" is no number of rounds',
        "a whole number up to 1000000",
    ),
    "a name of the same set step": (
        "",
        one_step("{set: {first: 1, second: »'${first + 1}'}}"),
        "spec.scenarios[0].steps[0].set.second",
        "first gets its value in this same step, whose keys have no order",
        "use two steps: set first in one before this",
    ),
    "a name of the same set step, written later": (
        "",
        one_step("{set: {first: {deep: [»'${second}']}, second: 1}}"),
        "spec.scenarios[0].steps[0].set.first.deep[0]",
        "second gets its value in this same step",
        "use two steps",
    ),
    "a tag that nothing sets": (
        'thresholds: [{metric: »"http_reqs{group:a}", expression: count>1}]',
        SCENARIOS,
        "spec.thresholds[0].metric",
        'there is no tag "group"',
        "overflow",
    ),
    "onError where nothing can fail": (
        "",
        one_step("»{think: {duration: 1s}, onError: continue}"),
        "spec.scenarios[0].steps[0]",
        "a think or check step cannot fail",
        "",
    ),
    "missing unit": (
        "http: {timeout: »5}",
        SCENARIOS,
        "spec.http.timeout",
        "5 is not a duration: the unit is missing",
        "write 5s, or 5ms",
    ),
    "wrong unit": (
        "http: {timeout: »5sec}",
        SCENARIOS,
        "spec.http.timeout",
        '"5sec" is not a duration',
        "500ms, 30s, 1m30s or 2h",
    ),
    "a sexagesimal is text": (
        "http: {timeout: »1:30}",
        SCENARIOS,
        "spec.http.timeout",
        '"1:30" is not a duration',
        "1m30s",
    ),
    "share": (
        "safety: {errorRate: {stop: »0.05}}",
        SCENARIOS,
        "spec.safety.errorRate.stop",
        "0.05 is not a share",
        'write "0.05", or 5%',
    ),
    "a share above 100 %": (
        "safety: {errorRate: {stop: »5}}",
        SCENARIOS,
        "spec.safety.errorRate.stop",
        "5 is not a share: as a plain number it would be 500%",
        'write "5%"',
    ),
    "two bodies": (
        "",
        SCENARIOS.replace('join"}', 'join", method: POST, json: {a: 1}, »raw: x}'),
        "spec.scenarios[0].steps[0].http.raw",
        "takes at most one of json, form, multipart, raw, file",
        "leave out json or raw",
    ),
    "size": (
        "http: {maxBodySize: »5 MB}",
        SCENARIOS,
        "spec.http.maxBodySize",
        "is not a size",
        "10KiB",
    ),
    "yes is no boolean": (
        "http: {cookies: »yes}",
        SCENARIOS,
        "spec.http.cookies",
        '"yes" is neither true nor false',
        "write true",
    ),
    "number where text is wanted": (
        "http: {headers: {X-Id: »5}}",
        SCENARIOS,
        "spec.http.headers.X-Id",
        "needs text, but has 5",
        'put it in quotes: "5"',
    ),
    "mapping where a list is wanted": (
        "»thresholds: {metric: checks}",
        SCENARIOS,
        "spec.thresholds",
        "needs a list, but has a mapping",
        '"- "',
    ),
    "nothing": (
        "http: {timeout: »}",
        SCENARIOS,
        "spec.http.timeout",
        "has no value",
        "leave the key out",
    ),
    "choice": (
        "",
        SCENARIOS.replace("ramping-vus", "»ramping-vu"),
        "spec.scenarios[0].executor",
        '"ramping-vu" is not possible here; did you mean "ramping-vus"?',
        "possible: capacity, constant-arrival-rate",
    ),
    "too small": ("shards: »0", SCENARIOS, "spec.shards", "0 is too small", "the least is 1"),
    "fraction of a VU": (
        "",
        one_step(GET).replace("vus: 1,", "vus: »1.5,"),
        "spec.scenarios[0].vus",
        "1.5 is not a whole number",
        "write a whole number",
    ),
    "field of another executor": (
        "",
        one_step(GET).replace("vus: 1,", "vus: 1, »rate: 5,"),
        "spec.scenarios[0].rate",
        "rate does not belong to constant-vus",
        "it belongs to constant-arrival-rate",
    ),
    "executor lacks a field": (
        "",
        one_step(GET).replace("vus: 1, ", "").replace("{name", "»{name"),
        "spec.scenarios[0].vus",
        "constant-vus needs vus",
        "duration",
    ),
    "two kinds of step": (
        "",
        one_step("{http: {url: http://h/}, »think: {duration: 1s}}"),
        "spec.scenarios[0].steps[0].think",
        "has http and think, but can have only one of them",
        "keep one of: http, poll",
    ),
    "no kind of step": (
        "",
        one_step("»{name: x}"),
        "spec.scenarios[0].steps[0]",
        "needs one of http, poll",
        "add one of them",
    ),
    "stages of no length": (
        "",
        "scenarios: [{name: a, executor: ramping-vus, »stages: [{duration: 0s, target: 5}], steps: [{http: {url: http://h/}}]}]",
        "spec.scenarios[0].stages",
        "",
        "",
    ),
    "stages without a target": (
        "",
        "scenarios: [{name: a, executor: ramping-vus, startVUs: 0, »stages: [{duration: 1m, target: 0}], steps: [{http: {url: http://h/}}]}]",
        "spec.scenarios[0].stages",
        "no VU is ever active",
        "above 0",
    ),
    "placement beyond the shards": (
        "shards: 4",
        one_step(GET).replace("vus: 1", "placement: {shards: »3-5}, vus: 1"),
        "spec.scenarios[0].placement.shards",
        "shard 5 is named, but the run has 4",
        "raise spec.shards to 5",
    ),
    "fewer VUs at most than made ready": (
        "",
        STEPS.format(GET).replace(
            "constant-vus, vus: 1", "constant-arrival-rate, rate: 1, preAllocatedVUs: 5, maxVUs: »2"
        ),
        "spec.scenarios[0].maxVUs",
        "2 is less than preAllocatedVUs, 5",
        "raise maxVUs",
    ),
    "duplicate scenario": (
        "",
        SCENARIOS + SCENARIOS.replace("scenarios:\n", "").replace("signup", "»signup"),
        "spec.scenarios[1].name",
        'the scenario "signup" is there twice; the first is in line 6',
        "rename",
    ),
    "duplicate step": (
        "",
        SCENARIOS + "      - {name: »join, think: {duration: 1s}}\n",
        "spec.scenarios[0].steps[1].name",
        'two steps are named "join"; the first is in line 10',
        "rename",
    ),
    "duplicate file": (
        "files: [{name: a, inline: x}, {name: »a, inline: y}]",
        SCENARIOS,
        "spec.files[1].name",
        'the file "a" is there twice',
        "rename",
    ),
    "duplicate threshold": (
        "thresholds: [{name: a, metric: checks, expression: rate>0.5}, {name: »a, metric: checks, expression: rate>0.6}]",
        SCENARIOS,
        "spec.thresholds[1].name",
        'the threshold "a" is there twice',
        "rename",
    ),
    "duplicate variant": (
        "variants: [{name: a, spec: {}}, {name: »a, spec: {}}]",
        SCENARIOS,
        "spec.variants[1].name",
        'the variant "a" is there twice',
        "rename",
    ),
    "data without its file": (
        "data: [{name: users, csv: »user.csv}]\nfiles: [{name: users.csv, inline: 'a\n\n    1'}]",
        SCENARIOS,
        "spec.data[0].csv",
        'there is no file "user.csv"; did you mean "users.csv"?',
        "files: users.csv",
    ),
    "template that names nothing": (
        "",
        SCENARIOS.replace('"http://127.0.0.1/join', '»"http://h/${tokn}'),
        "spec.scenarios[0].steps[0].http.url",
        "tokn",
        "",
    ),
    "variable that names nothing": (
        "variables: [{name: baseUrl, value: x}]",
        SCENARIOS.replace('"http://127.0.0.1/join', '»"http://h/${var.baseURL}'),
        "spec.scenarios[0].steps[0].http.url",
        'there is no variable "baseURL"; did you mean "baseUrl"?',
        "variables: baseUrl",
    ),
    "data column that is not there": (
        'files: [{name: u, inline: "email\\na@x\\n"}]\ndata: [{name: users, csv: u}]',
        SCENARIOS.replace('"http://127.0.0.1/join', '»"http://h/${data.users.emial}'),
        "spec.scenarios[0].steps[0].http.url",
        "emial",
        "email",
    ),
    "expression that cannot be read": (
        "",
        SCENARIOS + '        checks: {ok: »"status =="}\n',
        "spec.scenarios[0].steps[0].checks.ok",
        "",
        "",
    ),
    "expression that reaches out": (
        "",
        SCENARIOS + '        checks: {ok: »"status.__class__ == 1"}\n',
        "spec.scenarios[0].steps[0].checks.ok",
        "__class__",
        "",
    ),
    "name of Squall's own": (
        "",
        SCENARIOS + "        extract: {»status: {jsonPath: $.x}}\n",
        "spec.scenarios[0].steps[0].extract.status",
        "'status'",
        "choose another name",
    ),
    "no JSONPath": (
        "",
        SCENARIOS + "        extract: {token: {jsonPath: »token}}\n",
        "spec.scenarios[0].steps[0].extract.token.jsonPath",
        '"token" is not a JSONPath',
        "$.token",
    ),
    "path without a base": (
        "",
        SCENARIOS.replace('"http://127.0.0.1/join', '»"/join'),
        "spec.scenarios[0].steps[0].http.url",
        '"/join" is a path, but there is no base URL',
        "spec.http.baseUrl",
    ),
    "polling without a pause": (
        "",
        SCENARIOS + '      - poll: {http: {url: http://h/}, until: "false", interval: »0s}\n',
        "spec.scenarios[0].steps[1].poll.interval",
        "the pause is shorter than 10ms",
        "10ms",
    ),
    "polling with hardly any pause": (
        "",
        SCENARIOS + '      - poll: {http: {url: http://h/}, until: "false", backoff: {max: »9999us}}\n',
        "spec.scenarios[0].steps[1].poll.backoff.max",
        "the pause is shorter than 10ms",
        "10ms",
    ),
    "retrying with hardly any pause": (
        "http: {retry: {backoff: {max: »1ms}}}",
        SCENARIOS,
        "spec.http.retry.backoff.max",
        "the pause is shorter than 10ms",
        "10ms",
    ),
    "a step's retry with hardly any pause": (
        "",
        SCENARIOS + "      - http: {url: http://h/, retry: {backoff: {max: »1ms}}}\n",
        "spec.scenarios[0].steps[1].http.retry.backoff.max",
        "the pause is shorter than 10ms",
        "10ms",
    ),
    "a step's retry with a budget": (
        "",
        SCENARIOS + "      - http: {url: http://h/, retry: {»budget: 5%}}\n",
        "spec.scenarios[0].steps[1].http.retry.budget",
        "the budget belongs to the host",
        "spec.http.retry.budget",
    ),
    "a poll's retry with a budget": (
        "",
        SCENARIOS + '      - poll: {http: {url: http://h/, retry: {»budget: 5%}}, until: "true"}\n',
        "spec.scenarios[0].steps[1].poll.http.retry.budget",
        "the budget belongs to the host",
        "spec.http.retry.budget",
    ),
    "a circuit without a window": (
        "http: {circuitBreaker: {window: »0s}}",
        SCENARIOS,
        "spec.http.circuitBreaker.window",
        "this cannot be 0",
        "1s",
    ),
    "a circuit that opens without a failure": (
        "http: {circuitBreaker: {errorRate: »0%}}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.circuitBreaker.errorRate",
        "would open without a failure",
        "50%",
    ),
    "a circuit that never opens": (
        "http: {circuitBreaker: {errorRate: »101%}}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.circuitBreaker.errorRate",
        "no more than all can fail",
        "at most 100%",
    ),
    "a retry after a status that cannot be": (
        'http: {retry: {statuses: ["503", »"600"]}}',
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.retry.statuses[1]",
        '"600" is no status',
        "500-504",
    ),
    "a range of statuses from its end": (
        'http: {retry: {statuses: [»"500-400"]}}',
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.retry.statuses[0]",
        '"500-400" is no status',
        "the lower first",
    ),
    "an expected status that cannot be": (
        "",
        SCENARIOS + "      - http: {url: http://h/, expectStatus: [»'099']}\n",
        "spec.scenarios[0].steps[1].http.expectStatus[0]",
        '"099" is no status',
        "from 100 to 599",
    ),
    "retries of nothing": (
        "http: {retry: {errors: [reset], »methods: []}}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.retry.methods",
        "nothing is ever tried again",
        "maxRetries: 0",
    ),
    "pauses that shrink": (
        'http: {retry: {backoff: {factor: »"0.9"}}}',
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.retry.backoff.factor",
        "0.9 makes each pause shorter",
        '"1"',
    ),
    "pauses of a poll that shrink": (
        "",
        SCENARIOS + "      - poll: {http: {url: http://h/}, until: 'true', backoff: {factor: »'0'}}\n",
        "spec.scenarios[0].steps[1].poll.backoff.factor",
        "0 makes each pause shorter",
        '"1"',
    ),
    "pauses that are less than none": (
        "http: {retry: {backoff: {jitter: »101%}}}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.retry.backoff.jitter",
        "no pause can be shorter",
        "100%",
    ),
    "failover to nowhere": (
        "http: {baseUrls: [http://a], »failover: {}}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.failover",
        "only one base URL",
        "add another",
    ),
    "failover without a pause": (
        "http: {baseUrls: [http://a, http://b], failover: {retryAfter: »0s}}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.failover.retryAfter",
        "this cannot be 0",
        "1s",
    ),
    "a token from nowhere": (
        'http: {baseUrl: http://h, auth: {oauth2: {tokenUrl: »"", clientId: c, clientSecret: s}}}',
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.auth.oauth2.tokenUrl",
        '"" is not a URL',
        "https://auth.example/token",
    ),
    "a token from a sentence": (
        'http: {auth: {oauth2: {tokenUrl: »"http://h/to ken", clientId: c, clientSecret: s}}}',
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.auth.oauth2.tokenUrl",
        '"http://h/to ken" is not a URL',
        "https://auth.example/token",
    ),
    "a token for nobody": (
        'http: {auth: {oauth2: {tokenUrl: http://h/t, clientId: »"", clientSecret: s}}}',
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.auth.oauth2.clientId",
        "in nobody's name",
        "knows this test",
    ),
    "a rate per nothing": (
        "http: {rateLimits: [{rate: 5, timeUnit: »0s}]}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.rateLimits[0].timeUnit",
        "this cannot be 0",
        "1s",
    ),
    "a rate limit for a URL": (
        'http: {rateLimits: [{rate: 5}, {rate: 5, host: »"http://shop.example"}]}',
        SCENARIOS,
        "spec.http.rateLimits[1].host",
        '"http://shop.example" is neither a host nor host:port',
        "shop.example:8443",
    ),
    "a rate limit for a port that cannot be": (
        "http: {rateLimits: [{rate: 5, host: »shop:70000}]}",
        SCENARIOS + "      - think: {duration: 1s}\n",
        "spec.http.rateLimits[0].host",
        '"shop:70000" is neither a host nor host:port',
        "shop.example:8443",
    ),
    "pause between nothing": (
        "",
        SCENARIOS + "      - think: {min: »3s, max: 1s}\n",
        "spec.scenarios[0].steps[1].think.min",
        "min is longer than max",
        "exchange",
    ),
    "metric that cannot exist": (
        "thresholds: [{metric: »http_req_duraton, expression: p(95)<2s}]",
        SCENARIOS,
        "spec.thresholds[0].metric",
        'there is no metric "http_req_duraton"; did you mean "http_req_duration"?',
        "metrics: ",
    ),
    "scenario that cannot exist": (
        "thresholds: [{metric: »'http_req_duration{scenario:sign}', expression: p(95)<2s}]",
        SCENARIOS,
        "spec.thresholds[0].metric",
        'there is no scenario "sign"',
        "scenarios: signup",
    ),
    "stage that cannot exist": (
        "thresholds: [{metric: »'http_req_duration{stage:holt}', expression: p(95)<2s}]",
        SCENARIOS,
        "spec.thresholds[0].metric",
        'there is no stage "holt"; did you mean "hold"?',
        "stages: 1, hold",
    ),
    "tag that cannot exist": (
        "thresholds: [{metric: »'http_req_duration{scenaro:signup}', expression: p(95)<2s}]",
        SCENARIOS,
        "spec.thresholds[0].metric",
        'there is no tag "scenaro"; did you mean "scenario"?',
        "tags: ",
    ),
    "aggregation that does not fit": (
        "tiers: [{name: good, thresholds: [{metric: http_req_failed, expression: »p(95)<2s}]}]",
        SCENARIOS,
        "spec.tiers[0].thresholds[0].expression",
        "",
        "",
    ),
    "a metric of two kinds": (
        "",
        SCENARIOS
        + "        record: {trend: mine}\n"
        + "      - {http: {url: http://h/}, record: {counter: »mine}}\n",
        "spec.scenarios[0].steps[1].record.counter",
        'the metric "mine" is a counter of numbers here, and a trend of durations before',
        "a name of its own",
    ),
    "relative to something else": (
        "thresholds: [{metric: http_req_duration, relativeTo: »checks, expression: p(95)<1.5x}]",
        SCENARIOS,
        "spec.thresholds[0].relativeTo",
        "checks is a rate",
        "compare like with like",
    ),
    "a selector that cannot be read": (
        "thresholds: [{metric: »'http_req_duration{scenario}', expression: p(95)<1s}]",
        SCENARIOS,
        "spec.thresholds[0].metric",
        "write tag:value",
        "http_req_duration{scenario:signup}",
    ),
    "a warning after the stop": (
        "safety: {errorRate: {warn: »10%, stop: 5%}}",
        SCENARIOS,
        "spec.safety.errorRate.warn",
        "the warning is above the stop",
        "exchange",
    ),
    "a warning after the stop, downwards": (
        "safety: {throughput: {warn: »5, stop: 10}, responseTime: {warn: 2s, stop: 5s}}",
        SCENARIOS,
        "spec.safety.throughput.warn",
        "the warning is below the stop",
        "exchange",
    ),
    "a protocol that is not spoken": (
        "",
        SCENARIOS.replace('"http://127.0.0.1/join', '»"ftp://h/join'),
        "spec.scenarios[0].steps[0].http.url",
        "a protocol that is not spoken",
        "http and https are",
    ),
    "a base that is a path": (
        "http: {baseUrl: »/api}",
        SCENARIOS,
        "spec.http.baseUrl",
        '"/api" is not an absolute URL',
        "http://",
    ),
    "own metric with a built-in name": (
        "",
        SCENARIOS + "        record: {trend: »checks}\n",
        "spec.scenarios[0].steps[0].record.trend",
        "built-in",
        "another name",
    ),
    "threshold that leaves everything out": (
        "thresholds: [{metric: checks, expression: rate>0.5, after: »2h}]",
        SCENARIOS,
        "spec.thresholds[0].after",
        "leaves out the whole run",
        "shorter",
    ),
    "other reference than a variable": (
        "shards: 1\noutputs: {prometheus: {remoteWriteUrl: »'http://h/${vu}'}}",
        SCENARIOS,
        "spec.outputs.prometheus.remoteWriteUrl",
        "only ${var.name} can stand here",
        "$${",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_manifest(name: str) -> None:
    spec, scenarios, path, message, hint = CASES[name]
    text, place = marked(manifest(spec, scenarios))
    problem = problem_of(text)
    assert (problem.file, problem.line, problem.column, problem.path) == ("t.yaml", *place, path), (
        problem.render()
    )
    assert problem.message
    assert message in problem.message
    assert hint in problem.hint
    assert problem.render().startswith(f"t.yaml:{problem.line}:{problem.column}: {path}")


def test_a_loop_may_look_at_what_its_round_has_set_and_keys_of_json_are_templates() -> None:
    step = "{repeat: {while: 'more', steps: [{set: {more: false}}]}}"
    assert load(manifest("", one_step(step))).name == "shop"
    text = manifest("", one_step('{http: {url: http://h/, method: POST, json: {"${nobody}": 1}}}'))
    assert "nobody" in problem_of(text).message


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    wrong = [case for case in CASES.values() if case[1] is SCENARIOS and case[2].startswith("spec.http.")]
    http = {path: spec for spec, _, path, _, _ in wrong}
    body = "http:\n" + "\n".join(
        "  " + spec.removeprefix("http: {").removesuffix("}").replace("»", "") for spec in http.values()
    )
    body = (
        body.replace("  timeout: 5\n", "").replace("  timeout: 5sec\n", "").replace("  timeout: 1:30\n", "")
    )
    found = problems_of(manifest(body))
    assert [problem.path for problem in found] == list(http)
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)


def test_names_on_the_way_are_told_beside_the_path() -> None:
    scenarios = SCENARIOS.replace("target: 5}]", "target: x}]")
    problem = problem_of(manifest("", scenarios))
    assert problem.where == "signup / hold"
    assert "spec.scenarios[0].stages[1].target (signup / hold): " in problem.render()


@pytest.mark.parametrize(
    ("text", "place", "path", "message", "hint"),
    [
        (
            HEAD.replace("LoadTest", "LoadTset"),
            "2:7",
            "kind",
            'no kind "LoadTset"; did you mean "LoadTest"?',
            "kinds: ",
        ),
        (
            HEAD.replace("v1alpha1", "v1"),
            "1:13",
            "apiVersion",
            'did you mean "squall.dev/v1alpha1"?',
            "write",
        ),
        ("kind: LoadTest\n", "1:1", "apiVersion", '"apiVersion" is missing', "squall.dev/v1alpha1"),
        ("- a\n", "1:1", "", "a manifest is a mapping", ""),
    ],
)
def test_wrong_head(text: str, place: str, path: str, message: str, hint: str) -> None:
    problem = problem_of(text)
    assert (f"{problem.line}:{problem.column}", problem.path) == (place, path)
    assert message in problem.message
    assert hint in problem.hint


def test_a_resource_needs_a_name_that_kubernetes_takes() -> None:
    problem = problem_of(manifest().replace("{name: shop}", "{name: My Shop}"))
    assert (problem.line, problem.column, problem.path) == (3, 18, "metadata.name")
    assert "small letters" in problem.hint
    problem = problem_of(manifest().replace("{name: shop}", "{label: {}, name: shop}"))
    assert problem.message == 'unknown key "label"; did you mean "labels"?'


def test_a_scenario_list_is_needed() -> None:
    problem = problem_of(manifest("shards: 2", ""))
    assert (problem.path, problem.message) == ("spec.scenarios", '"scenarios" is missing')
    assert problem.line == 4


def test_names_from_setup_and_earlier_steps_are_known() -> None:
    spec = """
        setup: {steps: [{http: {url: "http://h/"}, extract: {admin: {header: X}}}]}
        teardown: {steps: [{http: {url: "http://h/${admin}"}}]}
        """
    scenarios = """
        scenarios:
          - name: a
            executor: constant-vus
            vus: 1
            duration: 1m
            steps:
              - http: {url: "http://h/${admin}"}
                extract: {token: {jsonPath: $.t}}
              - if: {condition: "len(token) > 1", then: [{set: {seen: "${token}"}}]}
              - repeat: {times: 3, index: round, steps: [{http: {url: "http://h/${round}/${seen}"}}]}
              - choose: [{weight: 1, steps: [{set: {way: left}}]}, {steps: [{set: {way: right}}]}]
              - http: {url: "http://h/${way}"}
            finally: [{http: {url: "http://h/${token}/${way}"}}]
        """
    assert load(manifest(spec, scenarios)).name == "shop"
    wrong = scenarios.replace("${admin}", "${way}")
    assert [p.path for p in problems_of(manifest(spec, wrong))] == ["spec.scenarios[0].steps[0].http.url"]
