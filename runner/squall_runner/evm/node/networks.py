"""Which chain is the right one: never one whose money is worth something, unless the manifest names it.

A load test of a wrong chain spends somebody's money, and a URL is quickly mistaken.
"""

from __future__ import annotations

from typing import Final

WITH_VALUE: Final = {
    1: "Ethereum",
    10: "OP Mainnet",
    14: "Flare",
    25: "Cronos",
    30: "Rootstock",
    40: "Telos",
    50: "XDC",
    56: "BNB Smart Chain",
    61: "Ethereum Classic",
    100: "Gnosis",
    122: "Fuse",
    130: "Unichain",
    137: "Polygon",
    146: "Sonic",
    169: "Manta Pacific",
    204: "opBNB",
    250: "Fantom",
    252: "Fraxtal",
    288: "Boba",
    324: "ZKsync Era",
    369: "PulseChain",
    480: "World Chain",
    999: "HyperEVM",
    1030: "Conflux eSpace",
    1088: "Metis",
    1101: "Polygon zkEVM",
    1116: "Core",
    1284: "Moonbeam",
    1285: "Moonriver",
    1329: "Sei",
    1480: "Vana",
    1514: "Story",
    1868: "Soneium",
    2020: "Ronin",
    2741: "Abstract",
    5000: "Mantle",
    8217: "Kaia",
    8453: "Base",
    9745: "Plasma",
    33139: "ApeChain",
    34443: "Mode",
    42161: "Arbitrum One",
    42170: "Arbitrum Nova",
    42220: "Celo",
    43114: "Avalanche C-Chain",
    57073: "Ink",
    59144: "Linea",
    80094: "Berachain",
    81457: "Blast",
    167000: "Taiko",
    534352: "Scroll",
    7777777: "Zora",
    1313161554: "Aurora",
    1666600000: "Harmony",
}
"""Chain ids of public networks whose tokens are traded (https://chainlist.org)."""


def wrong_chain(found: int, wanted: int | None) -> str:
    """Why load must not go to a chain; empty: it may.

    Args:
        found: The id that an endpoint tells.
        wanted: The id that the manifest names; None: it names none.
    """
    if wanted is not None:
        return "" if found == wanted else f"it is on chain {found}, and the manifest wants chain {wanted}"
    if found in WITH_VALUE:
        return f"it is on {WITH_VALUE[found]} (chain {found}), where transactions cost money, and the manifest names no chain"
    return ""
