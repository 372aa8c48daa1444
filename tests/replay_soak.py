"""`python -m replay_soak`: records random requests in batches, and replays each alone."""

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from concordance_inference.replay import replay
from recorded_requests import random_request, recorded


def soak(folder, *, num, seed, start=0, cuts=True):
    """Record requests and replay them; yield `(trace, result, cut)` for each replay."""
    requests = [random_request(random.Random(f"{seed}/{i}")) for i in range(start, start + num)]
    with recorded(folder) as server:
        traces = server.record_all(requests)
        for number, trace in enumerate(traces):
            yield trace, replay(trace, server.runtime), 0
            length = len(trace.completion_ids)
            if cuts and number % 4 == 0 and length > 4 and not trace.mods:
                cut = random.Random(f"{seed}/{number}").randrange(1, length)
                yield trace, replay(trace, server.runtime, start=cut), cut


def main():
    """Run the command line; the exit status is 1 if a replay differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--start", type=int, default=0, help="number of the first request")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    started, counts = time.monotonic(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), num=options.requests, seed=options.seed, start=options.start)
        for trace, result, cut in found:
            counts["replays"] += 1
            counts["tokens"] += result.num_same
            counts["differences"] += not result.is_same
            counts["with mods"] += bool(trace.mods)
            counts["with backtracked tokens"] += bool(trace.backtracked_tokens)
            counts["failed"] += trace.status == "failed"
            counts["from the middle"] += cut > 0
            if not result.is_same:
                sys.stdout.write(f"from {cut}: {result}\n{trace.source}\n")
    shown = ", ".join(f"{name} {count}" for name, count in counts.items())
    sys.stdout.write(f"{shown}; {time.monotonic() - started:.0f} s\n")
    return counts["differences"] > 0


if __name__ == "__main__":
    sys.exit(main())
