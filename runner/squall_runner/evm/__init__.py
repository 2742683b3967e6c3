"""EVM chains: keys, transactions, contracts and what follows a chain.

Modules are imported by name, as in `from squall_runner.evm.keys import Key`: a run without EVM steps loads none of them, and the
packages that they need come with the extra `evm`. Those that compute do no I/O:

    hexes, keccak, rlp          the encodings that everything else stands on
    keys, transactions          accounts, and what they sign to be mined
    messages, typeddata         what accounts sign to be recognised (EIP-191, EIP-712)
    signatures, artifacts, abi  contracts: their interface, calldata, results, events, reasons of reverts (abivalues, reverts)
    encryption, synthetic       what users of a data network upload

Those that talk to nodes do it through `squall_runner.http`, from the bottom:

    failures, networks          what an error means, and which chain may be used
    jsonrpc, outcomes           calls and answers as bytes, and what an HTTP response makes of them
    rpcsettings, endpoints      the endpoints of a manifest, how well they are, and which is asked next
    batching, asker             joined calls, and one try of one call
    chainguard, checking        the right chain, and looking after endpoints
    rpc                         `Rpc`: calling the node
    heads, watching             blocks, and who waits for what in them
    blockreading, harvest       reading blocks, and handing out what is in them
    newheads, follower          `Follower`: following the chain

What wallets send goes through their accounts, the only owners of nonces:

    outgoing                    a transaction on its way, its versions, and what became of it
    fees, market, gas           what is offered per gas, and the gas limit
    nonces, slots, accounts     `Account.send`: nonces, the cap of transactions on their way, signing and handing over
    answers, sending            what a node's refusal leads to
    fleet                       `Accounts`: all accounts of a process, and the one timer that finds what is late
    tending, gaps, lookup       what is late, missing at a node, or displaced
    redoing, asking             what they have in common
    presigning, pacing          signing ahead; turns by gas
"""
