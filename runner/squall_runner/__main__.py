"""`python -m squall_runner`, and the command `squall-runner`."""

import gc
import sys

gc.disable()  # loading code makes no garbage, and looking for it takes a tenth of the start; `main` enables it

from squall_runner.main import main  # noqa: E402 - after gc.disable

if __name__ == "__main__":
    sys.exit(main())
