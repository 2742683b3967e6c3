"""The data-portability example in pods: four shards on a chain that they share, with a network on the node's loopback address.

Who holds the money is asked of the chain, to the last wei.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cluster.access import Access
from support.cluster.built import IMAGES
from support.cluster.operated import ENDED, Installation, until
from support.dataportability import Network, running_network
from support.examples import DATA_PORTABILITY, PATIENT
from support.playedoperator import Command, Stage

from squall.errors import ExitCode
from squall_runner.evm.contracts.abi import Abi
from squall_runner.evm.signing.keys import parse_key

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(400)]

NAME = "data-portability"
QUICK = ("--block-time", "500ms", "--indexer-lag", "100ms", "--inference-time", "300ms")
SHARDS = 4
USERS = 40
SECRET = {"FUNDER_KEY": "funder", "WALLET_SEED": "seed"}
PODS = (
    '{"shardsPerPod": 2, "template": {"spec": {"hostNetwork": true}}, "resources": '
    '{"requests": {"cpu": "50m", "memory": "150Mi"}, "limits": {"memory": "384Mi"}}}'
)
FILE_ADDED = Abi.parse(["event FileAdded(uint256 indexed fileId, address indexed owner, string url)"])
DUST = 10**15
"""More than what is left in an account that sending it away would cost as much as it is worth."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a run has done with the funder's money, from the block in which the books are opened."""

    network: Network
    funder: str
    first: int
    start: int

    @classmethod
    def opened(cls, network: Network) -> "Books":
        funder = parse_key(network["FUNDER_KEY"]).address.lower()
        first = int(network.rpc("eth_blockNumber"), 16) + 1
        return cls(network, funder, first, balance(network, funder))

    def owners(self) -> list[str]:
        """Whose files have been added, in the chain's order."""
        topic = FILE_ADDED.event("FileAdded").topic
        wanted = {
            "fromBlock": hex(self.first),
            "address": self.network["REGISTRY_ADDRESS"],
            "topics": [topic],
        }
        return [log["topics"][2] for log in self.network.rpc("eth_getLogs", wanted)]

    def are_closed(self) -> bool:
        """Whether the funder has all that was not paid for gas, but for dust."""
        fees = dict.fromkeys((self.funder,), 0)
        last = int(self.network.rpc("eth_blockNumber"), 16)
        for number in range(self.first, last + 1):
            for receipt in self.network.rpc("eth_getBlockReceipts", hex(number)):
                fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
                fees[receipt["from"]] = fees.get(receipt["from"], 0) + fee
        for other in {each.lower() for each in self.network.rpc("eth_accounts")} - {self.funder}:
            fees.pop(other, None)  # those of the network
        left = [balance(self.network, each) for each in fees if each != self.funder]
        assert self.start == balance(self.network, self.funder) + sum(fees.values()) + sum(left)
        assert len(fees) > USERS / 2, "the run has sent"
        return max(left) < DUST


def balance(network: Network, address: str) -> int:
    return int(network.rpc("eth_getBalance", address, "latest"), 16)


@pytest.fixture(scope="module")
def network(access: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if not access.node_here:
        pytest.skip("left out: the node is another machine, and load stays on loopback")
    with running_network(tmp_path_factory.mktemp("network"), *QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def where(squall: Installation, evm_image: None, network: Network) -> Installation:
    """Where pods reach the network, with the Secret that the manifest names."""
    del evm_image
    where = squall.on_node
    data = {key: network[variable] for variable, key in SECRET.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "stringData": data}
    where.kube.create(where.core("secrets"), body)
    return where


@pytest.fixture
def stage(where: Installation, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(where.kube, where.access.kubeconfig, tmp_path, where.namespace)
    yield stage
    stage.close()


def run(stage: Stage, network: Network, *options: str, **environment: str) -> Command:
    """Have the cluster run the example, with what is in the Secret told to nobody else."""
    known = {name: value for name, value in network.environment.items() if name not in SECRET}
    options = ("--set", f"runner={PODS}", *PATIENT, *options)
    return stage.squall(
        "run", "--cluster", str(DATA_PORTABILITY), *options, **known, SHARDS=str(SHARDS), **environment
    )


def test_each_user_of_four_shards_gets_through_with_a_wallet_of_their_own(
    where: Installation, stage: Stage, network: Network
) -> None:
    before, books = network.indexed(), Books.opened(network)
    amounts = {"TOTAL_USERS": str(USERS), "MAX_WALLETS": str(USERS)}
    command = run(stage, network, "--variant", "debug", "--set", "scenarios.users.vus=8", **amounts)
    assert command.end(240) == ExitCode.PASSED, command.output
    status = where.status(NAME)
    assert (status["phase"], status["shards"]["desired"]) == ("Passed", SHARDS)
    done = {name: count - before[name] for name, count in network.indexed().items()}
    assert done == dict.fromkeys(("files", "permissions", "confirmed", "claimed"), USERS)
    assert len(set(books.owners())) == USERS
    where.wait_until_gone(status["run"]["id"])
    assert books.are_closed()


def test_a_run_that_is_stopped_leaves_no_pods_and_brings_the_money_back(
    where: Installation, stage: Stage, network: Network
) -> None:
    before, books = network.indexed()["claimed"], Books.opened(network)
    flow = {"RAMP_UP": "1s", "HOLD": "10m", "USERS_PER_MINUTE": "240"}
    command = run(stage, network, **flow)
    until(lambda: network.indexed()["claimed"] > before + 5, 120, lambda: command.output)
    run_id = where.status(NAME)["run"]["id"]
    images = {each["image"] for pod in where.pods(run_id) for each in pod["spec"]["containers"]}
    assert images == {IMAGES["runner-evm"]}
    stopping = stage.squall("stop", NAME)
    assert stopping.end(120) == 0, stopping.output
    status = where.wait(NAME, *ENDED)
    assert (status["phase"], status["verdict"]["cause"]) == ("Aborted", "user")
    where.wait_until_gone(run_id)
    assert books.are_closed()
    command.end()
