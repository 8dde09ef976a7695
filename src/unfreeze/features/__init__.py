"""Stored activations and what is computed from them."""
