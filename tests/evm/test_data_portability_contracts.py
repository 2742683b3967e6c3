"""What the contracts of the data-portability network allow and refuse, on a real chain that mines at once."""

import time

import aiohttp
import pytest
from data_portability.chain import CONTRACTS, Contract, Rpc, RpcError, deploy
from data_portability.world import BATCH_ARTIFACT
from support.anvil import anvil
from support.dataportability import TYPES

REWARD = 5 * 10**18
KEY = "0xabcdef"


class Chain:
    """A node with the registry on it, and the accounts of a deployer, an attestor, and two users."""

    def __init__(self, node, session):
        self.node = node
        self.rpc = Rpc(session, node.url)
        self.deployer, self.attestor, self.ada, self.grace = node.addresses[:4]

    async def registry(self, *, attestor: str = "", fee: int = 0) -> Contract:
        args = (attestor or "0x" + "0" * 40, fee, REWARD)
        return await deploy(self.rpc, self.deployer, CONTRACTS / "DataRegistry.json", *args)

    async def does(self, contract: Contract, sender: str, function: str, *args, value: int = 0) -> dict:
        """Send a transaction and return its receipt; what would be reverted is refused beforehand."""
        call = {
            "from": sender,
            "to": contract.address,
            "data": contract.data(function, *args),
            "value": hex(value),
        }
        gas = await self.rpc.call("eth_estimateGas", call)
        sent = await self.rpc.call("eth_sendTransaction", call | {"gas": gas})
        return await self.rpc.receipt(sent)

    async def refusal(self, contract: Contract, sender: str, function: str, *args, value: int = 0) -> str:
        """The contract's error that keeps a transaction from being sent."""
        with pytest.raises(RpcError) as caught:
            await self.does(contract, sender, function, *args, value=value)
        return contract.refusal(caught.value)

    async def happened(self, contract: Contract) -> list[tuple[str, dict]]:
        head = int(await self.rpc.call("eth_blockNumber"), 16)
        return [(each.name, each.args) for each in await contract.events(0, head)]

    async def signature(self, contract: Contract, signer: str, owner: str, url: str, **changed) -> bytes:
        """What the owner's wallet makes of a request to add a file with one permission."""
        message = {
            "owner": owner,
            "url": url,
            "permissions": [{"account": self.grace, "key": KEY}],
            "nonce": 0,
            "deadline": 2**40,
        } | changed
        domain = {
            "name": "DataRegistry",
            "version": "1",
            "chainId": 31337,
            "verifyingContract": contract.address,
        }
        content = {"types": TYPES, "primaryType": "AddFile", "domain": domain, "message": message}
        signed = await self.rpc.call("eth_signTypedData_v4", signer, content)
        return bytes.fromhex(signed[2:])


@pytest.fixture
async def chain():
    async with anvil() as node, aiohttp.ClientSession() as session:
        yield Chain(node, session)


async def test_a_file_goes_from_added_to_paid_once(chain):
    registry = await chain.registry(attestor=chain.attestor, fee=7)
    await chain.does(
        registry, chain.ada, "addFileWithPermissions", "s3://a/b", chain.ada, [(chain.grace, KEY)]
    )
    assert await chain.refusal(registry, chain.ada, "claimReward", 1) == "ProofMissing"
    assert await chain.refusal(registry, chain.ada, "requestContributionProof", 1, value=6) == "FeeTooLow"
    await chain.does(registry, chain.ada, "requestContributionProof", 1, value=7)
    assert await chain.refusal(registry, chain.ada, "requestContributionProof", 1, value=7) == (
        "ProofRequestedAlready"
    )
    assert await chain.refusal(registry, chain.ada, "confirmProofs", [1]) == "NotAttestor"
    await chain.does(registry, chain.attestor, "confirmProofs", [1])
    await chain.does(registry, chain.ada, "claimReward", 1)
    assert await chain.refusal(registry, chain.ada, "claimReward", 1) == "RewardClaimedAlready"

    assert await chain.happened(registry) == [
        ("FileAdded", {"fileId": 1, "owner": chain.ada.lower(), "url": "s3://a/b"}),
        (
            "PermissionGranted",
            {
                "permissionId": 1,
                "fileId": 1,
                "account": chain.grace.lower(),
                "owner": chain.ada.lower(),
                "key": KEY,
            },
        ),
        ("ProofRequested", {"jobId": 1, "fileId": 1, "owner": chain.ada.lower(), "fee": 7}),
        ("ProofConfirmed", {"jobId": 1, "fileId": 1, "owner": chain.ada.lower()}),
        ("RewardClaimed", {"fileId": 1, "owner": chain.ada.lower(), "amount": REWARD}),
    ]
    (token,) = await registry.read("token")
    paid = await chain.rpc.call(
        "eth_call", {"to": token, "data": "0x70a08231" + chain.ada[2:].rjust(64, "0")}, "latest"
    )
    assert int(paid, 16) == REWARD


async def test_without_an_attestor_the_request_confirms_itself_and_only_the_owner_may_ask(chain):
    registry = await chain.registry()
    await chain.does(registry, chain.ada, "addFile", "s3://a/b")
    assert await chain.refusal(registry, chain.grace, "requestContributionProof", 1) == "NotOwner"
    assert await chain.refusal(registry, chain.ada, "requestContributionProof", 2) == "NoSuchFile"
    await chain.does(registry, chain.ada, "requestContributionProof", 1)
    assert await chain.refusal(registry, chain.grace, "claimReward", 1) == "NotOwner"
    await chain.does(registry, chain.ada, "claimReward", 1)
    assert await registry.read("files", 1) == (chain.ada.lower(), "s3://a/b", 1, True, True)


async def test_anybody_may_bring_what_the_owner_signed_but_once_and_unchanged(chain):
    registry = await chain.registry()
    granted, deadline = [(chain.grace, KEY)], 2**40
    good = await chain.signature(registry, chain.ada, chain.ada, "s3://a/b")
    bring = ("addFileWithPermissionsBySignature",)

    async def refused(url=("s3://a/b"), owner=chain.ada, granted=granted, deadline=deadline, signature=good):
        return await chain.refusal(registry, chain.grace, *bring, url, owner, granted, deadline, signature)

    assert await refused(url="s3://a/c") == "SignatureInvalid"
    assert await refused(owner=chain.grace) == "SignatureInvalid"
    assert await refused(granted=[(chain.grace, "0x")]) == "SignatureInvalid"
    assert await refused(deadline=deadline + 1) == "SignatureInvalid"
    assert await refused(signature=b"") == "SignatureInvalid"
    assert await refused(deadline=int(time.time()) - 60) == "SignatureExpired"
    assert await refused(signature=await chain.signature(registry, chain.grace, chain.ada, "s3://a/b")) == (
        "SignatureInvalid"
    )
    # The twin of a signature, which ecrecover alone would take as well.
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    twin = good[:32] + (order - int.from_bytes(good[32:64])).to_bytes(32) + bytes([55 - good[64]])
    assert await refused(signature=twin) == "SignatureInvalid"

    await chain.does(registry, chain.grace, *bring, "s3://a/b", chain.ada, granted, deadline, good)
    assert (await registry.read("files", 1))[0] == chain.ada.lower()
    assert await registry.read("nonces", chain.ada) == (1,)
    assert await refused() == "SignatureInvalid"
    again = await chain.signature(registry, chain.ada, chain.ada, "s3://a/b", nonce=1)
    await chain.does(registry, chain.grace, *bring, "s3://a/b", chain.ada, granted, deadline, again)


async def test_the_batch_contract_behaves_as_multicall3(chain):
    batch = await deploy(chain.rpc, chain.deployer, BATCH_ARTIFACT)
    registry = await chain.registry()
    # Selectors as every Multicall3 has them.
    assert batch.data("aggregate3", [])[:10] == "0x82ad56cb"
    assert batch.data("aggregate3Value", [])[:10] == "0x174dea71"
    assert batch.data("getEthBalance", chain.ada)[:10] == "0x4d2301cc"
    assert batch.data("getBlockNumber")[:10] == "0x42cbb15c"

    fresh = ["0x" + f"{number:040x}" for number in (0xA1, 0xA2)]
    await chain.does(
        batch,
        chain.ada,
        "aggregate3Value",
        [(each, False, 10 + n, b"") for n, each in enumerate(fresh)],
        value=21,
    )
    assert [await batch.read("getEthBalance", each) for each in fresh] == [(10,), (11,)]
    mismatch = [(fresh[0], False, 5, b"")]
    with pytest.raises(RpcError, match="Multicall3: value mismatch"):
        await chain.does(batch, chain.ada, "aggregate3Value", mismatch, value=6)

    good = bytes.fromhex(batch.data("getEthBalance", fresh[1])[2:])
    bad = bytes.fromhex(registry.data("files", 99)[2:])
    (results,) = await batch.read("aggregate3", [(batch.address, False, good), (registry.address, True, bad)])
    assert results[0] == (True, (11).to_bytes(32))
    assert results[1][0] is False
    with pytest.raises(RpcError, match="Multicall3: call failed"):
        await batch.read("aggregate3", [(registry.address, False, bad)])
