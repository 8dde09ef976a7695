"""What continuous integration runs: retraining up to a pull request, and proof that a commit gives its results."""
