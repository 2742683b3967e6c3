"""The objects of a run, as plain data: pure functions from a LoadTest and the installation's settings."""
