"""The built-in model: its little world, its tokenizer, how it is trained and what it scores."""
