"""Fine-Tuning Studio: open data, clean it, tune a language model, compare, export."""

import os

__version__ = "0.1.0"

# Read once, when torch is loaded. By default its threads wait for each other in a busy loop: with anything else at work
# on the same cores (the page, a browser) a training step then takes up to eight times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
