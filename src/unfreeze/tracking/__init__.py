"""MLflow, and nothing else knows it."""
