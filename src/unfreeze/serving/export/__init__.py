"""Models in formats of other runtimes, each with what its use needs and a proof of its answers."""
