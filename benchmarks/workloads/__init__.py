"""Whole tasks that people have for cgru, compared with PyTorch and JAX: `python -m benchmarks.workloads NAME`."""
