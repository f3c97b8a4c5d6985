"""Fine-Tuning Studio: open data, clean it, tune a language model, compare, export."""

import os

__version__ = "0.1.0"

# Read once, when torch is loaded. By default its threads wait for each other in a busy loop of milliseconds: with
# anything else at work on the same cores (the page, a browser) a training step then takes up to twelve times as long.
# Without any such loop each of the many small operations of a small model waits for a thread to wake, and a step takes
# twice as long. So they wait busily for about as long as waking takes.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# oneDNN keeps what it compiles for each shape of a product, a megabyte and more. Rows of ever other lengths make it
# thousands, of which none is met again: over a run a gigabyte and more was held for nothing. Room for one pass will do.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
