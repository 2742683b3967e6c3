"""The load of a test as a pure function of time, and any shard's exact part of it.

- `share`: numbered things divided over shards without a rest.
- `vus`, `rates`, `arrivals`: the schedules in closed form, in whole nanoseconds.
- `model`: a compiled test (`TestPlan`, `ScenarioPlan`), the one place everybody asks.
- `data`: over which shards the rows of data are dealt.
- `compile`: from the manifest to a `TestPlan`, or to all that is impossible in it (`problems`).
"""
