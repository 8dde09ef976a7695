"""Images and labels: sources, manifest, image store, expectations."""
