"""``python -m recokit``: the command line."""

import sys

from recokit._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
