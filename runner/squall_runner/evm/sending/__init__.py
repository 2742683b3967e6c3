"""What wallets send goes through their accounts, the only owners of nonces.

outgoing                   a transaction on its way, its versions, and what became of it
fees, market, gas          what is offered per gas, and the gas limit
nonces, slots, accounts    `Account.send`: nonces, the cap of transactions on their way, signing and handing over
answers, persisting        what a node's refusal leads to
fleet                      `Accounts`: all accounts of a process, and the one timer that finds what is late
tending, gaps, lookup      what is late, missing at a node, or displaced
redoing, asking            what they have in common
presigning, pacing         signing ahead; turns by gas
"""
