"""What EVM chains cost the generator: `make bench-evm`.

    signing  transactions signed on one core, beside eth-account, and wallets derived
    sending  CPU and calls for a transaction that is sent to a node and followed into its block
    funding  wallets filled and emptied, and how long users wait for theirs
    flow     users of the data-portability example, with its whole network

Writes `build/bench/evm.json`: a list of {name, value, unit, goal, holds}. `--only` measures some of the parts and keeps what was measured of
the others before.
"""

from __future__ import annotations

import sys

from harness.parts import measure_parts

if __name__ == "__main__":
    sys.exit(measure_parts("evm", ("signing", "sending", "funding", "flow")))
