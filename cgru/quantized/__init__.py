"""Layers with int8 or bfloat16 weights. `cgru.quantize` makes a network of them."""
