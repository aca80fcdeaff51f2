"""Evaluation reports on a network's predictions: numbers, text tables, an HTML page."""
