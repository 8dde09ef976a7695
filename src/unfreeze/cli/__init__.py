"""The `unfreeze` command."""
