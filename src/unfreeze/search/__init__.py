"""The search for unfreeze point and settings."""
