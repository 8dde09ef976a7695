"""Models in use: packed after training with all that answers need, and run without TensorFlow."""
