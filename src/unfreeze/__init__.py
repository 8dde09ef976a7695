"""Transfer learning with pretrained Keras backbones, from labelled images to a measured model."""

import os

# TensorFlow reads this when it loads. By itself it uses oneDNN only on processors with AVX-512, and elsewhere trains
# convolutions on one core. Processes that are started from here inherit it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
