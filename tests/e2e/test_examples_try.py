"""`squall try` on every example: each request, response, extraction and check is shown, and no secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.examples import EXAMPLES, ON_CHAINS, Platform, running_platform, squall

NAMES = sorted(
    str(path.relative_to(EXAMPLES))
    for path in EXAMPLES.rglob("*.yaml")
    if "kind: LoadTest" in path.read_text() and path not in ON_CHAINS
)
LINES = {
    "first-request.yaml": ("/health", "✓ status is 200"),
    "capacity.yaml": ("/api/nft/mint", "✓ status is 200"),
    "login-flow/loadtest.yaml": ("setup", "= adminToken: ", "= firstId: ", "✓ five on a page", "teardown"),
    "open-model.yaml": ("/api/nfts", "Authorization: Bearer demo-token"),
    "resilience.yaml": ("/api/nfts", "✓ status is 200"),
    "service-to-service.yaml": ("/api/nfts", "Authorization: Bearer ***", "✓ ten on a page"),
    "python-step/loadtest.yaml": ("= nonce: ", "✓ found a number: nonce >= 0", "X-Nonce: "),
    "nft-platform/loadtest.yaml": (
        '"password": "***"',
        "Authorization: Bearer ***",
        "= assetId: ",
        "✓ mint under 10 s",
    ),
    "nft-platform/full-flow.yaml": (
        '"password": "***"',
        "multipart/form-data",
        "= token: ",
        "✓ response under 5 s",
    ),
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("try")) as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_try_shows_what_happens_and_hides_secrets(name: str, platform: Platform, tmp_path: Path) -> None:
    done = squall("try", EXAMPLES / name, cwd=tmp_path, url=platform.url)
    assert done.code == 0, done.out + done.err
    lines = [line.strip() for line in done.out.splitlines()]
    for part in LINES[name]:
        assert any(part in line for line in lines), part
    scenarios = yaml.safe_load((EXAMPLES / name).read_text())["spec"]["scenarios"]
    for scenario in scenarios:
        assert any(line.startswith(f"scenario {scenario['name']} ") for line in lines)
    assert lines.count("iteration completed") == len(scenarios)
    sent = [line for line in lines if line.startswith("> ")]
    assert len(sent) == sum(line.startswith("< 200 ") for line in lines) > 0
    assert "0 did not; failed steps: 0" in lines[-1]
    if "NFT_PASSWORD" in (EXAMPLES / name).read_text():
        assert '"loadtest"' not in done.out
        assert "demo-token" not in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_broken_check_is_explained_and_told_by_the_exit_code(platform: Platform, tmp_path: Path) -> None:
    change = '--set=scenarios.visitors.steps.health.checks={"is red": "body.status == \'red\'"}'
    done = squall("try", EXAMPLES / "first-request.yaml", change, cwd=tmp_path, url=platform.url)
    assert done.code == 99, done.out + done.err
    assert "✗ is red: body.status == 'red'" in done.out
    assert "seen: " in done.out
    assert '"ok"' in done.out
