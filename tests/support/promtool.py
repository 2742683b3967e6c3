"""`promtool`, which comes with Prometheus: what it accepts, a Prometheus accepts."""

import subprocess

from support.prometheus import prometheus_binary


def promtool(*arguments: str, text: str | None = None) -> str:
    """Run a command of it; returns all that it printed.

    Args:
        arguments: As on a command line.
        text: Its standard input.

    Raises:
        AssertionError: It found something wrong; the message holds what it said.
    """
    done = subprocess.run(
        [str(prometheus_binary().with_name("promtool")), *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"promtool {' '.join(arguments)}:\n{said}"
    return said
