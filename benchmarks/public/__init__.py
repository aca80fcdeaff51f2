"""Models out of packages that people install, before and after `accelerate`.

`models` builds them, each by its package's own API; `compare` says of one whether its numbers are the same, how long a
training step and a prediction take, and how much of that its GRU is.
"""
