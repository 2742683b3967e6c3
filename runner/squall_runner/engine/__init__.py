"""The load engine: VUs that iterate as the plan says, measured and stoppable at any moment."""

from squall_runner.engine.engine import Engine

__all__ = ["Engine"]
