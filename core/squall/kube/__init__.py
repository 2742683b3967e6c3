"""Kubernetes, for everybody who has to do with it: a thin client of its API, and how runs of a LoadTest are told apart."""
