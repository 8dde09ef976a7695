"""Run by the Python of the peers' environment: nothing here imports this project's package or TensorFlow."""
