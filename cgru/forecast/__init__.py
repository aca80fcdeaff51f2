"""Time series forecasting: windows, an ensemble of small networks, and a backtest against simpler models."""

from __future__ import annotations

from cgru.forecast.backtest import Backtest, backtest
from cgru.forecast.calendar_features import calendar, season_of
from cgru.forecast.forecaster import Forecaster, load
from cgru.forecast.series_windows import windows

__all__ = ["Backtest", "Forecaster", "backtest", "calendar", "load", "season_of", "windows"]
