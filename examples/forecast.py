"""Forecasts of real series, beside simpler models, from ten origins in the past of each.

    python forecast.py            two that the recipe of `cgru.forecast` was not chosen on
    python forecast.py --chosen   six of the twelve that it was chosen on, which flatters it

All come with statsmodels.
"""

import sys
import time

import numpy as np
from statsmodels.datasets import co2, elec_equip, elnino, macrodata, nile, sunspots

import cgru

MODELS = ("mean of the best", "GRU", "linear", "ETS", "climatology", "seasonal naive", "naive")


def table(module):
    """The data of a module of statsmodels."""
    return module.load_pandas().data


def shown():
    """Values, season and horizon by name: carbon dioxide above Mauna Loa, with some months missing, and sunspots."""
    return {
        "CO2, monthly": (table(co2)["co2"].resample("MS").mean(), 12, 24),
        "sunspots, yearly": (table(sunspots)["SUNACTIVITY"], 11, 11),
    }


def chosen():
    """The same of series that choices were made on."""
    quarters = table(macrodata)
    return {
        "El Nino, monthly": (table(elnino).to_numpy()[:, 1:].ravel(), 12, 12),
        "electrical equipment, monthly": (table(elec_equip).iloc[:, -1], 12, 12),
        "Nile, yearly": (table(nile)["volume"], 1, 8),
        "US GDP, quarterly": (quarters["realgdp"], 4, 8),
        "US unemployment, quarterly": (quarters["unemp"], 4, 8),
        "US treasury bills, quarterly": (quarters["tbilrate"], 4, 8),
    }


def main(series):
    """Print MASE, mean ± deviation over the origins, and what would be delivered."""
    print(f"| MASE at 10 origins | season | horizon | {' | '.join(MODELS)} |")
    print("| --- " * (3 + len(MODELS)) + "|")
    verdicts, start = [], time.perf_counter()
    for name, (y, season, horizon) in series.items():
        found = cgru.forecast.backtest(np.asarray(y), horizon, season=season, missing="interpolate")
        cells = []
        for model in MODELS:
            errors = found.errors.get(model, found.errors["naive"])["MASE"]  # without a season, both are one
            mark = "**" * (model == found.best)
            cells.append(f"{mark}{errors.mean():.3f} ± {errors.std():.3f}{mark}")
        print(f"| {name} | {season} | {horizon} | {' | '.join(cells)} |", flush=True)
        verdicts.append(f"- {name}: {found.verdict()} ({', '.join(found.weights)}).")
    print("", *verdicts, sep="\n")
    print(f"\n{len(series)} backtests in {time.perf_counter() - start:.0f} s on {cgru.get_num_threads()} threads")


if __name__ == "__main__":
    main(chosen() if "--chosen" in sys.argv[1:] else shown())
