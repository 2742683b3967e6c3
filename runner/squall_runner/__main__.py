"""`python -m squall_runner`."""

import sys

from squall_runner.main import main

sys.exit(main())
