"""Grafana's dashboards, written in Python so that one thing looks the same everywhere and is said once.

What users take is the JSON beside this package, written by `python -m squall_dashboards`; nothing of Squall itself needs it.
"""
