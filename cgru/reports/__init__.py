"""What a network's predictions are worth, as numbers, as text and as a page to look at."""
