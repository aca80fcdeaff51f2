"""Run the `cgru` command by `python -m cgru`."""

import sys

from cgru.cli import main

if __name__ == "__main__":
    sys.exit(main())
