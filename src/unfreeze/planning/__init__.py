"""What a study will run, and why; how long it takes, and how much room; what was measured in earlier runs."""
