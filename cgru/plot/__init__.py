"""Pictures, by matplotlib: of what a recurrent layer does, of a fit, and of what predictions are worth.

Each is a matplotlib Figure that pyplot does not know of: `figure.savefig(path)` writes it, and a notebook shows it
after `%matplotlib inline`. With `axes=` it is drawn into those of the caller. All can be read in grey.
"""

from cgru.plot.evaluation import calibration, confusion, curve, predicted, residuals
from cgru.plot.states import gates, states

__all__ = ["calibration", "confusion", "curve", "gates", "predicted", "residuals", "states"]
