"""Formats of models, one file each."""
