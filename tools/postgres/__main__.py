"""Start a server and keep it until SIGINT or SIGTERM; print how to reach it."""

import signal
import sys
import threading

from tools.postgres.errors import NoPostgresError
from tools.postgres.obtain import URL_VARIABLE, own_cluster


def say(line: str) -> None:
    sys.stderr.write(f"postgres: {line}\n")
    sys.stderr.flush()


def main() -> int:
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    try:
        with own_cluster(say) as cluster:
            sys.stdout.write(f"export {URL_VARIABLE}='{cluster.url()}'\n")
            sys.stdout.flush()
            say("runs until it is interrupted")
            told.wait()
    except NoPostgresError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
