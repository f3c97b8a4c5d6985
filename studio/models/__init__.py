"""Loading models and tokenizers, and generating text with them."""
