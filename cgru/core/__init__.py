"""The compiled engine: what is given here is trusted, the layers above have checked it."""
