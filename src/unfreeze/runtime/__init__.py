"""Processes, console and imports."""
