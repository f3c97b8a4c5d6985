"""The only door for the page, the command line and notebooks."""
