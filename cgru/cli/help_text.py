"""The help texts of the `cgru` command on data files and series."""

__all__ = ["DATA_HELP", "EXAMPLES", "SERIES_HELP"]

DATA_HELP = """
A data file is, by its ending,

.csv .tsv .parquet  a table with a row for each step. Columns called id; time,
.xlsx .json .jsonl  timestamp or date; label, target, y or class need no option,
                    and all others are features, which have to be numbers.
                    `cgru data FILE` shows the columns and the options to add.
.ts                 a data set of the UCR/UEA archive
.npz                x (m sequences, s steps, e features), or (n, e) with the
                    lengths (m,) of sequences one after another; y (m,), or for
                    each step (m, s), of classes as integers or strings, or of
                    reals; and lengths, class_names, feature_names, groups.
                    train_x, test_x and so on are two splits: fit trains on one,
                    the other commands read the other
FOLDER              x.npy, y.npy, ...: mapped, so they may be larger than memory

A model reads later tables as it read its own, columns and classes by name. The
losses of evaluate are in the units of y, those of a fit in its deviations.
"""


SERIES_HELP = """
SERIES.csv is a table with a line of names and a row for each time: a column of
times and one of numbers, several columns (--label names those to forecast, one
model learns all), or several series below each other (--id). Times are numbers
or dates in ISO 8601, in a column called time, timestamp or date, or named by
--time; --time-format reads other dates, --time '' takes the rows as steps.
Times must be regular: months, or a fixed span.

The forecast is the mean of the best models in tests at several origins in the
past. The table of errors compares the GRU with simpler models. MASE is the mean
absolute error over that of the seasonal naive forecast of the next value.
"""

EXAMPLES = {
    "fit": ["machines.csv --id machine", "data.npz --validation 0.2 --html fit.html", "- < sessions.csv"],
    "predict": ["cgru-model.npz new.csv", "cgru-model.npz new.csv -o predictions.csv"],
    "evaluate": ["cgru-model.npz test.csv --html report.html"],
    "forecast": ["sales.csv --horizon 24 --quantiles 0.1 0.9 --html page.html", "sales.csv --horizon 24 -o next.csv"],
    "export": ["cgru-model.npz -o gesture.c"], "quantize": ["cgru-model.npz test.csv -o small.npz"],
    "data": ["sessions.csv"], "info": ["cgru-model.npz"],
    "completion": ["bash > ~/.local/share/bash-completion/completions/cgru"],
}  # fmt: skip
