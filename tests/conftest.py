"""What holds for all tests: property tests know no time limit per example, as a busy machine is no defect."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Else pytest-asyncio, looking for "the" loop after a test that had none, makes one that nobody closes.
asyncio.set_event_loop(None)
