"""JSON-RPC: calling nodes through a pool of endpoints that looks after itself.

It talks through `squall_runner.http`. From the bottom:

    failures, networks         what an error means, and which chain may be used
    jsonrpc, outcomes          calls and answers as bytes, and what an HTTP response makes of them
    rpcsettings, endpoints     the endpoints of a manifest, how well they are, and which is asked next
    batching, asker            joined calls, and one try of one call
    chainguard, checking       the right chain, and looking after endpoints
    rpc                        `Rpc`: calling the node
"""
