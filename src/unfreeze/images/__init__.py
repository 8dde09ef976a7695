"""Decoding, resizing, changing and storing images."""
