"""The oracles, one a file."""
