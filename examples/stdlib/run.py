"""Run the example: `python examples/stdlib/run.py [--url URL] [--questions FILE] [--json]`.

`--help` lists the rest.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script sees only its own folder

from examples.stdlib.session import main

if __name__ == "__main__":
    sys.exit(main())
