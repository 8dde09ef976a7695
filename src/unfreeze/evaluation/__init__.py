"""What predictions tell: scores, intervals, tests, calibration."""
