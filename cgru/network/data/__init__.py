"""The data that a network is fitted to: checked samples, in memory or streamed, and their split for validation."""
