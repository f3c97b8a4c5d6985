"""How long it takes to split many rows with clusters and strata.

    python -m tests.benchmarks.splits [--rows 1000000]

Prints one JSON object: processor seconds of the assignment, from scores that are there.
"""

import argparse
import json
import time

import numpy as np

from studio.data.splits import SplitSpec, assign


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    count = parser.parse_args().rows
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 2**63, count, dtype=np.uint64)
    clusters, strata = rng.integers(0, count, count), rng.integers(0, 9, count)
    start = time.process_time()
    assign(np.arange(count), numbers, SplitSpec(test_share=0.1), clusters, strata)
    print(json.dumps({"rows": count, "processor_seconds": round(time.process_time() - start, 2)}))


if __name__ == "__main__":
    main()
