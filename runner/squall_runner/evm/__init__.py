"""EVM chains: wallets that sign, are paid for, send, and see what blocks hold.

Modules are imported by name, as in `from squall_runner.evm.signing.keys import Key`: a run without EVM steps loads none of them, and
the packages that they need come with the extra `evm`. From the bottom:

    signing/      keys, transactions, messages, encryption (no I/O)
    contracts/    ABIs: calldata, results, events, reverts (no I/O)
    node/         calling nodes: endpoints, their health, what errors mean
    following/    blocks as they come, and who waits for what in them
    sending/      accounts, the only owners of nonces; gas, fees, pacing
    money/        wallets, how they are filled, and how what is left goes back

On top of them, `chain` is what one runner process has of a chain: `interfaces` are the contracts of its manifest, `acting` the wallets
of its VUs, `gate` what holds a stopped run back, `meters` what is measured, `beforehand` what has to be known before it begins.
`commands` is what `squall evm` does, with the chain that `opening` gives it. `synthetic` makes up users' data.
"""
