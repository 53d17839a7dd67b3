"""``python -m pipfallback`` is the same program as ``pipfallback``."""

import sys

from pipfallback.cli import main

if __name__ == "__main__":
    sys.exit(main())
