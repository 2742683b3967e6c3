"""Contracts: their interface, calldata, results, events, and the reasons of reverts.

Nothing here does I/O. `abi` is what others use; below it `signatures` reads Solidity's words, `artifacts` what a compiler wrote, `abivalues`
takes and gives values, `reverts` says why a call failed. `Batch.json` is our own contract like Multicall3, for chains that have none.
"""
