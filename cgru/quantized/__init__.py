"""Layers with weights of fewer bytes, int8 and bfloat16. `cgru.quantize` makes a network of them."""
