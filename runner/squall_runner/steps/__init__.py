"""The kinds of steps of a scenario, one module each."""
