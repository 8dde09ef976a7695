"""How long this takes against the Keras guide's way, and against what the machine can do: `make bench`."""
