"""The compiled GRU code: kernels, and the code that plans and runs calls. Layers check all arguments before."""
