"""Following the chain: one look at each block for everybody who waits for something in it.

heads, watching            blocks, and who waits for what in them
blockreading, harvest      reading blocks, and handing out what is in them
newheads, follower         `Follower`: following the chain
"""
