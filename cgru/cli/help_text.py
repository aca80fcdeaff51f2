"""The help texts of the `cgru` command on data files and series."""

__all__ = ["DATA_HELP", "EXAMPLES", "SERIES_HELP"]

DATA_HELP = """
A data file is, by its ending,

.csv .tsv .txt   a table with a row for each step. Its columns have roles:
.parquet           --id       the sequence that a row belongs to
                   --time     the time of the step, numbers or dates
                   --label    the target
                   --columns  the features, all other columns by default;
                              --categories encodes text among them
                 Roles that you do not pass are guessed from the names of the
                 columns. Each guess is printed, an ambiguous one is refused.
                 With --wide the table has a row for each sequence. --windows
                 cuts long series, also one without an id.
.ts              a data set of the UCR/UEA archive; if NAME_TEST.ts lies beside
                 NAME_TRAIN.ts, fit tests on it
.npz             arrays, for m sequences of s steps of e features:
  x              (m, s, e); or (n, e), the steps of all sequences one after
                 another, with lengths that sum to n
  y              (m,) integers or strings are classes, (m,) or (m, k) reals a
                 regression; (m, s), or (n,) beside x (n, e), integers or
                 strings are a class for each step; (m, s, k) reals, numbers
  lengths        (m,) the real steps of each sequence
  class_names    of the classes 0, 1, ...; feature_names of the features
  groups         (m,) of the sequences, or another array by --groups NAME
FOLDER           x.npy (m, s, e), y.npy, ...: memory-mapped, so they may be
                 larger than the memory
A file with both splits has train_x, train_y, ... and test_x, test_y, ...: fit
trains on one, the other commands read the other.

A model keeps the names of its columns and targets, the categories of text, how
missing values were filled, and the windows. It reads later tables in the same
way, columns by name.

Classes are known by their names. Integers in y stand for the class_names in
the same file, else for themselves: for a model with classes no and yes, 0 and
1 need class_names.

A regression is trained on standardized y, and training losses are in these
units. The RMSE (over all outputs) and the losses of evaluate are in the units
of y.
"""


SERIES_HELP = """
SERIES.csv is a table with a line of names and a row for each time:
  one series        a column of times and one of numbers
  several columns   --label names those to forecast, one model learns all
  several ids       --id names the column with the id of the series
The table is text or Parquet. Empty cells, NA, NaN, null, ? and --na are missing
values.

Times are numbers or dates in ISO 8601, such as 1959-01 or 1959-01-31 12:00, in
a column called time, timestamp or date, or named by --time. --time-format reads
other dates. --time '' takes the rows as steps. Times must be regular: months,
or a fixed span. Forecasts go on by the calendar: ends of months stay ends.

The forecast is the mean of the best models in the tests. One of the models is
the GRU: the mean of eight small networks, half of which correct the last
season repeated, half a linear model. The table of errors compares it with
these, the last value repeated and other models, in forecasts made at several
origins in the past from earlier values alone. MASE is the mean absolute error
over that of the seasonal naive forecast of the next value; below 1 is better
than that.
"""

# At the end of the help of each subcommand: what is done, and the command that does it.
EXAMPLES = {
    "fit": (
        ("train on a table, and save cgru-model.npz", "cgru fit sessions.csv"),
        ("hold a fifth back, and write a report on it", "cgru fit sessions.csv --validation 0.2 --html fit.html"),
        ("encode text one-hot, fill missing values", "cgru fit sessions.csv --categories color --missing forward"),
        ("read the table of another program", "zcat sessions.csv.gz | cgru fit -"),
    ),
    "predict": (
        ("print a line for each sequence", "cgru predict cgru-model.npz new.csv"),
        ("write all outputs as a table", "cgru predict cgru-model.npz new.csv -o predictions.csv"),
        ("read and write a pipe", "cat new.csv | cgru predict cgru-model.npz - -o - | sort"),
    ),
    "evaluate": (
        ("print the loss and the accuracy", "cgru evaluate cgru-model.npz test.csv"),
        ("write a page with pictures", "cgru evaluate cgru-model.npz test.csv --html report.html --importance"),
    ),
    "forecast": (
        ("forecast two years of a monthly series", "cgru forecast sales.csv --horizon 24"),
        ("with intervals, as a page", "cgru forecast sales.csv --horizon 24 --quantiles 0.1 0.9 --html forecast.html"),
        ("write the table alone", "cgru forecast sales.csv --horizon 24 -o - > next.csv"),
    ),
    "export": (("write gesture.c and gesture.h", "cgru export cgru-model.npz -o gesture.c"),),
    "quantize": (("write int8 weights, compare on test.csv", "cgru quantize cgru-model.npz test.csv -o small.npz"),),
    "data": (("see what is guessed of a table", "cgru data sessions.csv"),),
    "info": (
        ("describe this installation", "cgru info"),
        ("describe a model", "cgru info cgru-model.npz"),
    ),
    "completion": (
        ("complete in this shell, until it ends", 'eval "$(cgru completion bash)"'),
        ("complete in each new shell", "cgru completion bash > ~/.local/share/bash-completion/completions/cgru"),
    ),
}
