"""`squall evm`: wallets filled ahead, looked at and emptied from a terminal, with real processes and a real chain."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from support.anvil import anvil

from squall.cli.main import cli
from squall.report.evmjournal import JOURNAL, EvmJournal, write_journal
from squall_runner.evm.signing.keys import Key, funder_key, wallet_key

SEED = "nobody-knows-this-seed"
MANIFEST = """
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: chain}
spec:
  shards: 2
  variables:
    - {name: seed, secret: {name: s, key: seed}, env: SEED}
    - {name: funder, secret: {name: s, key: funder}, env: FUNDER}
    - {name: rpc, value: "http://127.0.0.1:1", env: RPC}
  evm:
    chainId: 31337
    endpoints: [{name: node, url: "${var.rpc}"}]
    pollInterval: 20ms
    wallets: {seed: "${var.seed}", count: 12}
    funding: {keys: ["${var.funder}"], amount: "0.01", deployMulticall: true}
  scenarios:
    - name: users
      executor: constant-vus
      vus: 2
      duration: 1s
      steps: [{evm: {balance: {result: b}}}]
"""


@pytest.fixture(scope="module")
def node():
    with anvil() as running:
        yield running


@pytest.fixture
def squall(node, tmp_path, capfd):
    """Runs a command; what it prints, and with which code it ends."""

    def run(*arguments, code=0, text=MANIFEST, **environment):
        file = tmp_path / "test.yaml"
        file.write_text(text)
        env = {"SEED": SEED, "FUNDER": node.keys[0], "RPC": node.url, **environment}
        names = [str(file) if argument == "FILE" else argument for argument in arguments]
        result = CliRunner().invoke(cli, ["evm", *names], env=env)
        said = result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            error = result.exception
            said += f"{getattr(error, 'message', error)} {getattr(error, 'hint', '')}"
            assert getattr(error, "exit_code", None) == code, said
        else:
            assert (result.return_value if result.exit_code == 0 else result.exit_code) in {code, None}, said
        printed = capfd.readouterr()
        everything = said + printed.out + printed.err
        assert SEED not in everything
        assert env["FUNDER"].removeprefix("0x") not in everything
        return said

    return run


def test_wallets_are_filled_looked_at_and_emptied(squall):
    assert "12 of 12 wallets filled with 0.12 together, in 1 transactions" in squall("fund", "FILE")
    assert "All 12 wallets have what they need; nothing was sent." in squall("fund", "FILE")
    listed = [json.loads(line) for line in squall("wallets", "FILE", "--json").splitlines() if line[0] == "{"]
    assert [one["kind"] for one in listed] == ["wallet"] * 12 + ["shard"] * 2 + ["funder"]
    first = wallet_key(SEED.encode(), 0).address
    assert listed[0] == {
        "kind": "wallet",
        "index": 0,
        "address": first,
        "balance": "10000000000000000",
        "nonce": 0,
    }
    shown = squall("wallets", "FILE", "--count", "1")
    assert f"{first}                      0.01  nonce 0" in shown
    assert wallet_key(SEED.encode(), 1).address not in shown
    swept = squall("sweep", "FILE")
    assert "came back in 13 transactions" in swept  # what deployed the contract too
    assert "Nothing is left to give back." in squall("sweep", "FILE")
    document = json.loads(
        next(line for line in squall("sweep", "FILE", "--json").splitlines() if line[0] == "{")
    )
    assert (document["returned"], document["left"], document["failed"]) == ("0", "0", [])


@pytest.mark.parametrize(
    ("key", "message", "code"),
    [
        ("0x1234", "spec.evm.funding.keys[0]: a private key is not one of secp256k1", 104),
        ("hello", "spec.evm.funding.keys[0]: a private key is not hexadecimal", 104),
        ("0x" + "0" * 64, "spec.evm.funding.keys[0]: a private key is not one of secp256k1", 104),
        ("0x" + "5" * 64, "has 0 and needs 0.12", 109),
    ],
)
def test_a_funder_that_cannot_pay_is_refused(squall, key, message, code):
    assert message in squall("fund", "FILE", code=code, FUNDER=key)


def test_another_chain_is_refused_before_anything_is_sent(squall, node):
    before = node.rpc_now("eth_blockNumber")
    said = squall("fund", "FILE", "--set", "evm.chainId=5", code=104)
    assert "it is on chain 31337, and the manifest wants chain 5" in said
    assert node.rpc_now("eth_blockNumber") == before


def test_a_node_that_is_not_there_is_said(squall):
    assert "the chain cannot be used" in squall("sweep", "FILE", code=109, RPC="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("path", "message"), [("evm.funding", "has no funder"), ("evm.wallets", "has no wallets")]
)
def test_without_wallets_or_funder_there_is_nothing_to_do(squall, path, message):
    spec = yaml.safe_load(MANIFEST)
    del spec["spec"]["evm"][path.partition(".")[2]]
    if path == "evm.wallets":
        del spec["spec"]["evm"]["funding"]
        spec["spec"]["scenarios"][0]["steps"][0]["evm"]["balance"]["of"] = f"0x{1:040x}"
    spec["spec"]["variables"] = [
        each for each in spec["spec"]["variables"] if each["name"] in yaml.safe_dump(spec["spec"]["evm"])
    ]
    assert message in squall("fund", "FILE", code=2, text=yaml.safe_dump(spec))


def keep(folder, node, text, *, run, first_wallet, chain_id=31337):
    """What a run leaves in its folder: its manifest, and which money was its own."""
    folder.mkdir()
    (folder / "manifest.yaml").write_text(text)
    journal = EvmJournal(
        run=run,
        name="chain",
        chain_id=chain_id,
        shards=2,
        count=12,
        first_wallet=first_wallet,
        funders=(node.addresses[0],),
    )
    write_journal(folder / JOURNAL, journal)


OF_RUN = MANIFEST.replace('seed: "${var.seed}"', 'seed: "${var.seed}/${run.id}"')


def test_wallets_of_one_run_need_its_name_or_its_folder(squall, tmp_path, node):
    assert "each run has wallets of its own" in squall("fund", "FILE", code=104, text=OF_RUN)
    seed = f"{SEED}/run7".encode()
    first = wallet_key(seed, 0).address
    assert first in squall("wallets", "FILE", "--run", "run7", text=OF_RUN)
    folder = tmp_path / "results"
    gone = "  files: [{name: r.json, path: gone/r.json}]\n  evm:\n    contracts: [{name: r, abi: r.json}]\n"
    keep(folder, node, OF_RUN.replace("  evm:\n", gone), run="run7", first_wallet=first)
    node.rpc_now("anvil_setBalance", [wallet_key(seed, 11).address, hex(10**18)])
    assert "came back in 1 transactions" in squall("sweep", str(folder))
    said = squall("sweep", str(folder), code=104, SEED="another-seed-of-somebody")
    assert f"that of the run was {first}" in said


def test_what_was_a_run_elsewhere_is_not_said_to_be_swept(squall, tmp_path, node):
    folder = tmp_path / "elsewhere"
    text = MANIFEST.replace("    chainId: 31337\n", "")
    keep(folder, node, text, run="run9", first_wallet=wallet_key(SEED.encode(), 0).address, chain_id=5)
    said = squall("sweep", str(folder), code=104)
    assert "the endpoints are on chain 31337, and the run was on chain 5" in said
    said = squall("sweep", str(folder), code=104, FUNDER=node.keys[1])
    assert f"those of the run were {node.addresses[0]}" in said


def test_a_run_with_a_file_of_keys_is_swept_by_its_folder(squall, tmp_path, node):
    """The file is named anew, as it may be elsewhere by now; what its wallets have stays theirs."""
    secrets = [number.to_bytes(32, "big") for number in range(1001, 1013)]
    own = [Key(secret) for secret in secrets]
    keys = tmp_path / "keys-elsewhere.txt"
    keys.write_text("\n".join(secret.hex() for secret in secrets))
    text = MANIFEST.replace('seed: "${var.seed}", count: 12', "keys: wallets.txt, count: 12").replace(
        "  evm:\n", "  files: [{name: wallets.txt, path: gone/keys.txt}]\n  evm:\n"
    )
    text = text.replace("    - {name: seed, secret: {name: s, key: seed}, env: SEED}\n", "")
    folder = tmp_path / "of-keys"
    keep(folder, node, text, run="run8", first_wallet=own[0].address)
    shard = funder_key(bytes.fromhex(node.keys[0].removeprefix("0x")), 1).address
    for address in (own[3].address, shard):
        node.rpc_now("anvil_setBalance", [address, hex(10**18)])
    assert "gone/keys.txt" in squall("sweep", str(folder), code=104)
    said = squall("sweep", str(folder), "--file", f"wallets.txt={keys}")
    assert "came back in" in said
    assert "The 12 wallets whose keys come from a file keep what they have" in said
    assert int(node.rpc_now("eth_getBalance", [own[3].address, "latest"]), 16) == 10**18
    assert int(node.rpc_now("eth_getBalance", [shard, "latest"]), 16) == 0
    said = squall("sweep", str(folder), "--file", f"wallets.txt={keys}")
    assert "Nothing is left to give back." in said


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN], ids=["in front", "in the background"])
def test_a_sweep_that_is_interrupted_says_how_far_it_came(squall, node, tmp_path, before):
    squall("fund", "FILE")
    node.rpc_now("evm_setAutomine", [False])
    env = {**os.environ, "SEED": SEED, "FUNDER": node.keys[0], "RPC": node.url}
    command = [sys.executable, "-m", "squall.cli.main", "evm", "sweep", str(tmp_path / "test.yaml")]
    with subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, before),  # noqa: PLW1509 - as shells do
    ) as process:
        try:
            while int(node.rpc_now("txpool_status")["pending"], 16) < 12:
                assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            node.rpc_now("evm_setAutomine", [True])
            node.rpc_now("evm_mine")
    assert process.returncode == 105
    assert re.search(r"0\.12\d* is still there; run the same command again\.", said)
    squall("sweep", "FILE")
    assert "Nothing is left to give back." in squall("sweep", "FILE")


def test_a_folder_without_a_journal_is_none_of_a_run_on_a_chain(squall, tmp_path):
    assert JOURNAL in squall("sweep", str(tmp_path), code=2)
