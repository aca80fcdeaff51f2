"""The table of forecasts, on a series that is made up: vega_datasets and plotly are not installed here."""

import pytest

MADE = """
import sys
import numpy as np
from benchmarks import forecasts
y = 50 + 10 * np.sin(np.arange(90) / 6 * np.pi) + np.random.default_rng(0).standard_normal(90)
y[33] = np.nan
case = forecasts.monthly(y, "2000-01")
forecasts.Forecaster.__init__.__kwdefaults__.update(networks=1, epochs=1, units=2)
for package in ("of_statsmodels", "of_vega_datasets", "of_plotly"):
    made = [(package, case), (package + " short", case._replace(y=y[:40]))]
    setattr(forecasts, package, lambda made=made: iter(made))
sys.argv[1:] = ["vega", "statsmodels"]
forecasts.main()
"""


@pytest.mark.nightly
def test_a_row_for_each_series_and_the_means(run):
    """Those of at least 50 values whose names were asked for."""
    done = run("-c", MADE)
    assert not done.stderr
    out = done.stdout
    names, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")
    )
    assert names[:3] == ["", "values, horizon", "delivered"]
    assert [row[:2] for row in rows] == [["of_statsmodels", "90, 9"], ["of_vega_datasets", "90, 9"]]
    for row in rows:
        mase, best, ratio = (float(row[i].strip("*")) for i in (3, 6, 7))
        assert ratio == pytest.approx(mase / best, abs=0.006)
    assert "geometric mean" in out
    assert "2 series in " in out
