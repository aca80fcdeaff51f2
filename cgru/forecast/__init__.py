"""Time series forecasting: windows, an ensemble of small networks, and a backtest against simpler models."""

from __future__ import annotations

from cgru.forecast.backtest import Backtest, backtest
from cgru.forecast.calendar_features import calendar
from cgru.forecast.delivery import Delivery, load
from cgru.forecast.forecaster import Forecaster
from cgru.forecast.historical import HistoricalForecasts, historical_forecasts
from cgru.forecast.series import guess_season, seasonal_naive, windows

__all__ = [
    "Backtest", "Delivery", "Forecaster", "HistoricalForecasts", "backtest", "calendar", "guess_season",
    "historical_forecasts", "load", "seasonal_naive", "windows",
]  # fmt: skip
