"""What is measured, and how the measurements of many runners become one number.

`names` is the catalogue of metrics; `histogram` and `series` are the aggregates; `snapshot` is what a runner
sends of them each second and keeps for a hub that restarts; `slots` merges the snapshots of all runners.
Everything here is pure: no I/O, no clock.
"""
