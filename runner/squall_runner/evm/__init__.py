"""EVM chains: keys, transactions, contracts and what follows a chain.

Modules are imported by name, as in `from squall_runner.evm.keys import Key`: a run without EVM steps loads none of them, and the
packages that they need come with the extra `evm`. Those that compute do no I/O:

    hexes, keccak, rlp          the encodings that everything else stands on
    keys, transactions          accounts, and what they sign to be mined
    messages, typeddata         what accounts sign to be recognised (EIP-191, EIP-712)
    signatures, artifacts, abi  contracts: their interface, calldata, results, events, reasons of reverts (abivalues, reverts)
    encryption, synthetic       what users of a data network upload
"""
