"""What outlives a stage, typed."""
