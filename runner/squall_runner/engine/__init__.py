"""The load engine: VUs that iterate as the plan says, measured and stoppable at any moment."""
