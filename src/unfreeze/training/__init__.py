"""Training of head and unfrozen layers."""
