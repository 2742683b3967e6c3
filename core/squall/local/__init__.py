"""`squall run` on one machine: the distributed run, with processes instead of pods."""
