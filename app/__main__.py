"""The `ai-memory` command, also as `python -m app`."""

from __future__ import annotations

import os
import sys

from app.cli.program import run


def main() -> None:
    """Run one command and end the process with its exit code."""
    # The outermost frame: from here the environment and the arguments are passed in.
    sys.exit(run(sys.argv[1:], os.environ))  # noqa: TID251


if __name__ == "__main__":
    main()
