"""The compiled engine: plans, drivers and kernels. Layers check all arguments before they call it."""
