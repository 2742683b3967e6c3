"""The hub: where runners meet, their snapshots become one, and the run is judged and stopped.

Everything that decides is pure and takes the time as an argument (`run`, `members`, `clock`, `judging`); everything that
touches a socket, a disk or a clock is around it (`hub`, `server`, `journal`, `series`, `promql`).
"""
