"""Plots by matplotlib and scikit-learn: states of layers, learning curves, evaluations of predictions, forecasts.

Each function returns a matplotlib Figure that pyplot does not manage: `figure.savefig(path)` writes it, and a notebook
shows it after `%matplotlib inline`. With `axes=` it draws into the caller's axes. All plots can be read in grey.
"""

from cgru.plot.evaluation import calibration, confusion, curve, predicted, roc
from cgru.plot.forecasts import forecast
from cgru.plot.states import gates, states

__all__ = ["calibration", "confusion", "curve", "forecast", "gates", "predicted", "roc", "states"]
