"""Tests of the gate before the registry."""
