"""The data that a network is trained on: checked samples, in memory or streamed, and the validation split."""
