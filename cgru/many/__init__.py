"""Many fits at once: jobs, where they run, and grids of them."""

from cgru.many.grid import Grid, grid
from cgru.many.jobs import Job, Result
from cgru.many.run import fit_many

__all__ = ["Grid", "Job", "Result", "fit_many", "grid"]
