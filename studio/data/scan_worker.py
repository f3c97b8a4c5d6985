"""A process that checks chunks of a table for another: `python -m studio.data.scan_worker`, over its pipes."""

import gc
import os
import sys

from studio.data.scan_workers import serve

if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(10)  # whoever clicks is served first
    # Rows are many small objects, of which none refers back to itself: looking for such takes a sixth of the time.
    gc.set_threshold(200_000, 10, 10)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed does not get between the answers
    serve(sys.stdin.buffer, answers)
