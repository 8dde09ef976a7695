"""params.yaml as typed models."""
