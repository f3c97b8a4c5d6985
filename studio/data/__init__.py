"""From a file to examples: table, layout, findings, cleaned version, split, tokens."""
