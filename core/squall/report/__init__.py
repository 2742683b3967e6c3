"""What people and pipelines get to see of a run: while it goes on, at its end, and beside another run."""
