"""The `ai-memory` command whose store does not flush: what a broken promise looks like.

Run as a script by the test that proves its own eyes; nothing in the product can be set so.
"""

import functools
import os
import sys

from app.cli.program import run
from app.store import registry
from app.store.sqlite.connection import FileOptions

if __name__ == "__main__":
    registry.FileOptions = functools.partial(FileOptions, synchronous="OFF")  # type: ignore[attr-defined,assignment]  # where the registry looks it up
    sys.exit(run(sys.argv[1:], os.environ))
