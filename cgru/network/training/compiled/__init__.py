"""The compiled training loop: epochs of updates, and scores, without the GIL. A "stage" is a compiled layer."""
