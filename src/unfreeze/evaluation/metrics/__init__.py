"""The metrics that a study reports, one file each; `plugins/metrics/` of the checkout adds more."""
