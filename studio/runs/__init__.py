"""The record of a run: its spec, its events, and the workspace database."""
