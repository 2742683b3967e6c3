"""The quickest way to see Squall at work: the bundled NFT platform under its load test, compressed in time.

Starts the target on a free port of this machine, runs `squall run` against it, and stops it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TIME_SCALE = "0.04"


def main() -> int:
    target = subprocess.Popen(
        [sys.executable, str(HERE / "targets" / "nft_platform"), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert target.stdout is not None
        url = target.stdout.readline().removeprefix("listening on ").strip()
        if not url:
            print("the bundled target did not start", file=sys.stderr)
            return 1
        print(f"The bundled NFT platform listens on {url}.")
        manifest = HERE / "nft-platform" / "loadtest.yaml"
        command = [
            sys.executable,
            "-m",
            "squall.cli.main",
            "run",
            str(manifest),
            "--time-scale",
            TIME_SCALE,
            *sys.argv[1:],
        ]
        print(f"$ squall run {manifest} --time-scale {TIME_SCALE}\n", flush=True)
        settings = {"BASE_URL": url, "NFT_PASSWORD": "loadtest", "AUTH_TOKEN": "demo-token"}
        return subprocess.run(command, env={**os.environ, **settings}, check=False).returncode
    except KeyboardInterrupt:
        return 105
    finally:
        target.terminate()
        target.wait(timeout=10)


if __name__ == "__main__":
    sys.exit(main())
