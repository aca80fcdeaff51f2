"""Many fits at once: jobs, where they run, and grids of them."""

from cgru.many.cv_results import Grid
from cgru.many.grid import GridJob, grid, grid_jobs
from cgru.many.jobs import Job, Result
from cgru.many.run import fit_many

__all__ = ["Grid", "GridJob", "Job", "Result", "fit_many", "grid", "grid_jobs"]
