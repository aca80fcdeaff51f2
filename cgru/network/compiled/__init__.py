"""A network's training and scoring in compiled code: every layer of the package as a stage that runs without the GIL."""
