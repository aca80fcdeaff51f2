"""The help texts of the `cgru` command on data files, plans and series."""

import textwrap

from cgru.network.options import OPTIONS, Trait
from cgru.variant import FLAGS

__all__ = ["DATA_HELP", "EXAMPLES", "PLAN_HELP", "SERIES_HELP"]

DATA_HELP = """
A data file is, by its ending,

.csv .tsv .txt   a table with a row for each step: a column that says which
.parquet         sequence the row belongs to (--id), one to sort by, or a date and
                 a time of day (--time), as numbers or as dates in any usual form,
                 also with names of months in many languages (--time-format where
                 day or month might come first), the target (--label), and all
                 others, numbers, are features of the step (--columns), or text that
                 is encoded one-hot (--categories); or with a row for each sequence
                 (--wide). --windows cuts long series, also one without an id.
                 Roles that are not given are guessed from the names of the
                 columns; each guess is printed, an ambiguous one refused.
.ts              a file of the UCR/UEA archive; beside NAME_TRAIN.ts, NAME_TEST.ts
                 is the test data of fit
.npz             (numpy.savez)
  x            (m, s, e): m sequences of s steps of e features; or (n, e): the
               steps of all sequences one after another, with lengths (m,) that
               sum to n
  y            (m,) integers or strings: classes; (m,) or (m, k) reals: numbers
               to predict (regression); (m, s), or (n,) beside x (n, e), integers
               or strings: a class for each step; (m, s, k) reals: numbers for each
  lengths      optional beside x (m, s, e): how many steps of each are real
  class_names, feature_names  optional: of classes 0, 1, ..., and of features
  groups       or any other name, for --groups: (m,), the group of each
               sequence
FOLDER           x.npy, (m, s, e), y.npy, ...: memory-mapped, so that they may be
                 larger than the memory
With a split they are train_x, train_y, ... and test_x, test_y, ...: fit trains
on the one, the others use the other.

A model keeps the names of the columns that it was trained on, targets of a
regression too, and takes them by these names from a table; and the categories of
its columns, how missing values were filled, and the windows.

Classes are known by their names. Integers in y stand for the class_names in the
same file, and where it has none for themselves: a model of classes no and yes
takes no 0 and 1 without class_names that say which is which.

A regression is trained on standardized y, and its losses in training are of
these; the RMSE, the square root of the mean squared error over all outputs, and
the losses of evaluate are in the units of y.
"""


def _key(name: str) -> str:
    """Return the help lines on an option of a fit, a key of a plan's [fit]."""
    return textwrap.fill(OPTIONS[name].help, 79, initial_indent=f"  {name:20}", subsequent_indent=22 * " ")


PLAN_HELP = """
A plan, in TOML, has the data, the splits, the networks and options of the fits:

  data = "sessions.npz"     a data file as `cgru fit` takes it, beside the plan;
                            of one with a split, what is for training
  id, time, time_format, label, columns, ignore, categories, wide, per_step, task,
  missing, na, split_at, time_step, windows, decimal, axes
                            how to read it, as the options of `cgru fit`; of
                            several columns, or words, a list
  results = "some.jsonl"    (default: PLAN.jsonl, beside the plan)
  folds = 10                outer folds: each is held out once, for the test
  inner_folds = 9           folds of the rest: each validates once
  validation = 0.2          a share for validation, in the place of inner folds
  repeats = 1               how often the folds are drawn
  seeds = 3                 starts of each fit; the best is kept
  groups = "subject"        an array (m,) in the data file, or a column of the
                            table, strings or numbers: a group is never split

  [network]                 what `cgru fit` builds, unless it says otherwise
  units = [4, 8, 16]        a list is an axis: each of its values is fitted with
                            all those of the others
  bidirectional = false
  learning_rate = [1e-3, 5e-3]

  [fit]                     likewise, but for patience and shrink: none
  epochs = 200
  patience = 20
  l1 = [0, {"0.V*" = 1e-3}] a table is one value

Without folds, fits are of all samples but those that validate. More keys are,
in [network], layers, pool, inputs ("raw"; "auto" chooses in each fit by folds of
what it trains on), budget, causal, dropout, recurrent_dropout, zoneout,
VARIANT_FLAGS, loss, optimizer (adam, sgd, rmsprop),
schedule, weight_decay, clip_norm and float64; in [fit], as Network.fit takes them,

FIT_KEYS

No axis may be loss, or a key under whose values losses cannot be compared:
standardize_targets, shrink and the weights of classes.

Each result is a line of JSON as soon as it is there. Once stopped or killed, the
same command runs the missing fits. Meanwhile a plan may get more values on an
axis (on one with a single value: units = [4]), seeds and repeats. After any
other change, of the data too, the results are refused.

The table has a line for each setting: means and spreads over outer folds, of the
best start in each inner fold. In each outer fold the setting with the lowest
validation loss is chosen; the honest score is the mean test score of its
networks, one for each inner fold. Validation losses of a regression are of
standardized targets, test losses in the units of y.

On a cluster: --executor dask:tcp://HOST:8786, on a Dask that is there, or
  mpiexec -n 5 python -m mpi4py.futures -m cgru many PLAN.toml --executor mpi
""".replace("VARIANT_FLAGS", ", ".join(FLAGS)).replace(
    "FIT_KEYS", "\n".join(_key(name) for name, each in OPTIONS.items() if Trait.PLAN in each.traits)
)


SERIES_HELP = """
SERIES.csv is a table with a line of names and a row for each time:
  one series        a column of times and one of numbers
  several beside    a column each; --target names those to forecast, one model
                    learns all of them
  several below     --id names the column that says which one a row belongs to
Times are 1959-01, 1959-01-31, 1959-01-31 12:00, 31.01.1959, Jan 31 1959, 1959Q1
and the like, with names of months in many languages, or whole numbers; what may
be read in several ways needs --time-format; decimal years, 1959.0833, are months.
They may stand in several columns, a date and a time of day, or a year and a month;
without them rows are steps. They are sorted, and must be regular: months,
quarters, years, the first or last weekday of each, weekdays with or without
holidays, days of a place whose clocks change, or the same time apart. A row for
each year and a column for each month or quarter are one series. The table is read
as other commands read theirs: CSV in many dialects, also with semicolons and
decimal commas, or Parquet; empty cells, NA and ? are values that are missing, and
what --na says. Rows below the last value, with an empty target, may go on with
what is known of the future: the columns of --known.

The forecast is that of eight small GRUs, averaged, half of which correct the
last season repeated, half a linear model. Both, and the last value repeated,
stand beside them in the table of errors, of forecasts made at several origins in
the past from what lay before each. MASE is the mean absolute error over that of
the seasonal naive forecast of the next value; below 1 is better than that.
"""

# At the end of the help of each subcommand: what is done, and the command that does it.
EXAMPLES = {
    "fit": (
        ("what is in a table, learned; the best model in cgru-model.npz", "cgru fit sessions.csv"),
        ("with a report on the fifth that is held back", "cgru fit sessions.csv --validation 0.2 --html fit.html"),
        ("text as categories, missing values filled", "cgru fit sessions.csv --categories color --missing forward"),
        ("a table that another program writes", "zcat sessions.csv.gz | cgru fit -"),
    ),
    "many": (
        ("all fits of a plan; the same command goes on where it was stopped", "cgru many plan.toml"),
        ("in eight processes", "cgru many plan.toml --processes 8"),
    ),
    "predict": (
        ("a line for each sequence", "cgru predict cgru-model.npz new.csv"),
        ("all outputs, as a table", "cgru predict cgru-model.npz new.csv -o predictions.csv"),
        ("from one program to another", "cat new.csv | cgru predict cgru-model.npz - -o - | sort"),
    ),
    "evaluate": (
        ("loss and accuracy", "cgru evaluate cgru-model.npz test.csv"),
        ("a page with tables and pictures", "cgru evaluate cgru-model.npz test.csv --html report.html --importance"),
    ),
    "forecast": (
        ("two years of a monthly series", "cgru forecast sales.csv --horizon 24"),
        ("with intervals, as a page", "cgru forecast sales.csv --horizon 24 --quantiles 0.1 0.9 --html forecast.html"),
        ("the table alone, to another program", "cgru forecast sales.csv --horizon 24 -o - > next.csv"),
    ),
    "export": (("gesture.c and gesture.h", "cgru export cgru-model.npz -o gesture.c"),),
    "quantize": (("int8 weights, scaled by the data", "cgru quantize cgru-model.npz test.csv -o small.npz"),),
    "data": (("what is guessed of a table", "cgru data sessions.csv"),),
    "info": (
        ("this installation", "cgru info"),
        ("a model: what it reads, predicts, and was trained on", "cgru info cgru-model.npz"),
    ),
    "completion": (
        ("in this shell, until it ends", 'eval "$(cgru completion bash)"'),
        ("in each new one", "cgru completion bash > ~/.local/share/bash-completion/completions/cgru"),
    ),
}
