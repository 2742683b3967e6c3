"""Load tests on a cluster, from somebody's terminal: sent, followed, stopped and reported."""
