"""What leaves the studio: adapter, model card."""
