"""Fine-Tuning Studio: open data, clean it, tune a language model, compare, export."""

import os

__version__ = "0.1.0"

# Read once, when torch is loaded. By default its threads wait for each other in a busy loop: with anything else at work
# on the same cores (the page, a browser) a training step then takes up to twelve times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# oneDNN keeps what it compiles for each shape of a product, a megabyte and more, and so does PyTorch's own list above.
# Rows of ever other lengths make thousands, of which none is met again: over a run a gigabyte and more was held for
# nothing. Room for one pass will do.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
