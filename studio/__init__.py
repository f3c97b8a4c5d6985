"""Fine-Tuning Studio: open data, clean it, tune a language model, compare, export."""

__version__ = "0.1.0"
