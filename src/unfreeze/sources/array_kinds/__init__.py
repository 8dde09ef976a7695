"""Kinds of files that hold many images with their labels, one file each."""
