"""Time series forecasting: windows, an ensemble of small networks, and a backtest against simpler models."""

from __future__ import annotations

from cgru.forecast.backtest import Backtest, backtest
from cgru.forecast.forecaster import Forecaster, load
from cgru.forecast.series import guess_season, seasonal_naive, windows

__all__ = ["Backtest", "Forecaster", "backtest", "guess_season", "load", "seasonal_naive", "windows"]
