"""The compiled training loop: epochs of updates, and scores, without the GIL; each layer is a stage."""
