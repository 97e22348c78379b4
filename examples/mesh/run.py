"""Run the example: `python examples/mesh/run.py [--documents N] [--tier TIER] [--keep]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script sees only its own folder

from examples.mesh.session import main

if __name__ == "__main__":
    sys.exit(main())
