"""Plots by matplotlib: states of layers, learning curves, forecasts.

Each function returns a matplotlib Figure that pyplot does not manage: `figure.savefig(path)` writes it, and a notebook
shows it after `%matplotlib inline`. With `axes=` it draws into the caller's axes. All plots can be read in grey.
"""

from cgru.plot.forecasts import forecast
from cgru.plot.learning_curve import curve
from cgru.plot.states import gates, states

__all__ = ["curve", "forecast", "gates", "states"]
