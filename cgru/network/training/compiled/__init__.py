"""A network's training and scoring in compiled code: each layer a stage that runs without the GIL."""
