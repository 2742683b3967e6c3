"""Whose wallets there are, what they are given before they are used, and how it comes back.

tree, wallets, shardwallets    all keys of a run as a function of its seed; whose turn it is
multicall, balances            many balances, and many payments, by one call
paying, earlier                paying once, whatever happens, and what was paid before
helping, subfunders            the contract that pays in batches; the account of each shard
fillrules, funding, ahead      filling wallets before they are used; all of them, by a command
sweeping, returning            what is left goes back
funds                          `Funds`: all of this for a runner process
"""
