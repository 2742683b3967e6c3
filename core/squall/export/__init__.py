"""Pushes what a run measures to Prometheus, or to whatever else takes its remote write protocol.

What is sent is decided purely: `names` (what series are called), `run` (those about the run itself), `histograms`, `exposition` (all of
it, second by second), `wire` (bytes), `buffer` (what waits) and `together` (how runs share). `sending`, `resolving` and `exporter` alone
talk to somebody.
"""
