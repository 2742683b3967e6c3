"""Being gentle with a target in trouble: retries within a budget, the pace that a host is given, the circuit breaker.

What decides is pure and takes the time as an argument; only `queue` waits. Requests come in through `steps.sending`.
"""
