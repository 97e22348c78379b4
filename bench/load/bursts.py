"""Writes in bursts, in a process of its own: `python -m bench.load.bursts --url URL --round N`.

Prints a line a burst that was stored whole, until its input is closed.
"""

import argparse
import json
import select
import sys

from bench.baseline.rows import make_rows
from bench.load.client import Client

ROWS = 500
BODIES = 60  # enough for the longest round; then it ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--round", type=int, required=True)
    options = parser.parse_args()
    bodies = [_body(options.round * BODIES + number) for number in range(BODIES)]
    print("ready", flush=True)
    sys.stdin.readline()
    with Client(options.url) as client:
        for body in bodies:
            print(f"{client.post('/api/v1/memories/bulk', body):.1f}", flush=True)
            if select.select([sys.stdin], [], [], 0)[0]:
                return


def _body(seed: int) -> bytes:
    rows = make_rows(ROWS, seed)
    return json.dumps(
        [{"title": one.title, "content": one.content, "namespace": "burst"} for one in rows]
    ).encode()


if __name__ == "__main__":
    main()
