"""The guard: what an image, a class and a set must satisfy, and what happens to a finding."""
