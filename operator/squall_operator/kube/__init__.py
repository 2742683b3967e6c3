"""The Kubernetes API: the only place that talks to it."""
