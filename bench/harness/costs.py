"""What one process costs while something is measured: CPU time from the kernel's account, resident memory at its highest."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Costs:
    """Of a process, from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began, self._cpu_before, self._delay_before = time.monotonic(), self._cpu(), self._delay()

    def cores(self) -> float:
        """How many cores it has kept busy until now, on average."""
        return self.cpu_seconds() / (time.monotonic() - self._began)

    def cpu_seconds(self) -> float:
        """How much CPU time it has used until now, to a hundredth of a second."""
        return self._cpu() - self._cpu_before

    def waited(self) -> float:
        """Which share of the time it has waited for a core that others had: a bench on a busy machine measures them, too."""
        return (self._delay() - self._delay_before) / (time.monotonic() - self._began)

    def peak_megabytes(self) -> float:
        """The most resident memory that it has had since it was started, in MB."""
        for line in Path(f"/proc/{self._pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError("the kernel tells no resident memory")

    def _cpu(self) -> float:
        # The name before the state may hold anything.
        text = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _delay(self) -> float:
        return int(Path(f"/proc/{self._pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
