"""The `ai-memory` command on a machine whose clock is off by so many seconds.

Run as a script by the tests of fleets: the first argument is the skew, the rest is the command's.
"""

import os
import sys
from datetime import UTC, datetime, timedelta

from app.bootstrap.sources import SystemClock
from app.cli.program import run

if __name__ == "__main__":
    skew = timedelta(seconds=float(sys.argv[1]))
    SystemClock.now = lambda _: datetime.now(UTC) + skew  # type: ignore[method-assign,assignment]  # every part of the node asks this class
    sys.exit(run(sys.argv[2:], os.environ))
