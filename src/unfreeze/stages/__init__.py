"""One module a DVC stage, named as in dvc.yaml: pure functions and a thin `run`."""
