"""A process that checks chunks of a table for another: `python -m studio.data.scan_worker`, over its pipes."""

import os
import sys

from studio.data.scan_workers import serve

if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed does not get between the answers
    serve(sys.stdin.buffer, answers)
