"""The `ai-memory` command whose commits wait for what the server's default says, be it nothing.

Run as a script by the test that proves its own eyes; nothing in the product can be set so.
"""

import functools
import os
import sys

from app.bootstrap import postgres
from app.cli.program import run
from app.store.postgres.writes import WriteOptions

if __name__ == "__main__":
    postgres.WriteOptions = functools.partial(WriteOptions, forces_flush=False)  # type: ignore[attr-defined,assignment]  # where the node looks it up
    sys.exit(run(sys.argv[1:], os.environ))
