"""The runner: drives the load of its shards and tells the hub what it measured, once a second."""
