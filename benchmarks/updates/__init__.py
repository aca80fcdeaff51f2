"""Whole updates as users run them: a batch of shuffled data, the layers, a `Dense` head, loss, gradients, Adam.

One module a library; `kinds` says what is raced, `race` how.
"""
