"""The built-in charts, one file each."""
