"""`python -m cgru` is the `cgru` command."""

import sys

from cgru.cli import main

if __name__ == "__main__":
    sys.exit(main())
