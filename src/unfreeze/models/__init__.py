"""Backbones: the table, their weights, cutting, heads, inference, training."""
