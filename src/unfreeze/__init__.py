"""Transfer learning with pretrained Keras backbones, from labelled images to a measured model."""
