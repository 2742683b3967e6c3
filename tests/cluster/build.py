"""Build the Kubernetes binaries of the tests ahead of them: `python tests/cluster/build.py [NAME...]`.

The tests would build them too; a separate step shows its progress and keeps the first test run short.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.kubebin import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
