"""Many small fits, as nested cross-validation makes them: the task, and who fits it.

`task` says what is fitted, one module a library how its fits go, `ours` what is measured of our own alone.
"""
