"""The API: what can be written in a manifest, and how a manifest is read.

The pydantic models are the one source of validation, of the CRDs, of the JSON schema for editors, of the reference documentation and
of the structs in which runners take what has been validated. Nothing is imported here: who needs no models need not load them.
"""
