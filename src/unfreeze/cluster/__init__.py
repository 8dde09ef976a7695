"""Rows that many machines compute: shards, where they are kept, and who computes them."""
