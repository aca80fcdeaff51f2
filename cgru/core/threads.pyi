"""The number of threads that compiled work is shared among."""

def get_num_threads() -> int:
    """How many threads a call may use: `CGRU_NUM_THREADS`, else `OMP_NUM_THREADS`, else the cores of the process.

    Small work runs on one thread all the same, and so does all work in a forked child.
    """

def set_num_threads(n: int) -> None:
    """Let calls use up to n threads, n >= 1 (more than 256 count as 256). Results are bit for bit the same for any n.

    Raises:
        TypeError, ValueError: n is not an integer of at least 1.
    """
