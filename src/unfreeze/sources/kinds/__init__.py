"""Kinds of sources of labelled images, one file each."""
