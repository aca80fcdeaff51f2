"""The help texts of the `cgru` command on data files and series."""

__all__ = ["DATA_HELP", "EXAMPLES", "SERIES_HELP"]

DATA_HELP = """
A data file is, by its ending,

.csv .tsv .parquet  a table with a row for each step. Only exact names count:
.xlsx .jsonl        id; time, timestamp or date; label, target, y or class. All
                    other columns are features, which have to be numbers. For
                    any other column an option says what it is; an error shows
                    the columns and a command to copy, and so does `cgru data`.
.ts                 a data set of the UCR/UEA archive
.npz                arrays: x (m sequences, s steps, e features), or the steps
                    of all sequences one after another (n, e) with lengths (m,)
                    that sum to n; y (m,), integers or strings for classes,
                    reals for a regression, (m, s) a class for each step,
                    (m, s, k) numbers; and lengths, class_names of 0, 1, ...,
                    feature_names, groups
FOLDER              x.npy (m, s, e), y.npy, ...: mapped, so larger than memory

A file with both splits has train_x, test_x and so on: fit trains on one, the
other commands read the other. A model keeps how its data were read, and reads
later tables in the same way, columns and classes by name. The RMSE and the
losses of evaluate are in the units of y, training losses in its deviations.
"""


SERIES_HELP = """
SERIES.csv is a table with a line of names and a row for each time: a column of
times and one of numbers, several columns (--label names those to forecast, one
model learns all), or several series below each other (--id). Times are numbers
or dates in ISO 8601, in a column called time, timestamp or date, or named by
--time; --time-format reads other dates, --time '' takes the rows as steps.
Times must be regular: months, or a fixed span.

The forecast is the mean of the best models in the tests. One of them is the
GRU, the mean of small networks. The table of errors compares it with simpler
models, in forecasts made at several origins in the past from earlier values
alone. MASE is the mean absolute error over that of the seasonal naive forecast
of the next value; below 1 is better than that.
"""

# At the end of the help of each subcommand: what is done, and the command that does it.
EXAMPLES = {
    "fit": (
        ("train on a table, and save cgru-model.npz", "cgru fit machines.csv --id machine"),
        ("hold a fifth back, and write a report on it", "cgru fit data.npz --validation 0.2 --html fit.html"),
        ("read the table of another program", "zcat sessions.csv.gz | cgru fit -"),
    ),
    "predict": (
        ("print a line for each sequence", "cgru predict cgru-model.npz new.csv"),
        ("write all outputs as a table", "cgru predict cgru-model.npz new.csv -o predictions.csv"),
    ),
    "evaluate": (("write a page with pictures", "cgru evaluate cgru-model.npz test.csv --html report.html"),),
    "forecast": (
        ("with intervals, as a page", "cgru forecast sales.csv --horizon 24 --quantiles 0.1 0.9 --html forecast.html"),
        ("write the table alone", "cgru forecast sales.csv --horizon 24 -o - > next.csv"),
    ),
    "export": (("write gesture.c and gesture.h", "cgru export cgru-model.npz -o gesture.c"),),
    "quantize": (("write int8 weights, compare on test.csv", "cgru quantize cgru-model.npz test.csv -o small.npz"),),
    "data": (("see the columns, and the options that they need", "cgru data sessions.csv"),),
    "info": (("describe a model", "cgru info cgru-model.npz"),),
    "completion": (("complete in this shell, until it ends", 'eval "$(cgru completion bash)"'),),
}
