"""The command line: what can be typed, what each command does, and what it prints."""
