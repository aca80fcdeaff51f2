"""Data sets: the embedded Japanese Vowels, and readers of sequences and series in files and DataFrames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets.columns import Columns, ColumnsError, as_text
from cgru.datasets.dataset import Dataset, Split
from cgru.datasets.dataset_summary import described
from cgru.datasets.read_files import from_frame, overview, read
from cgru.datasets.series_tables import Series, read_series, series_from_frame
from cgru.datasets.time_columns import Step
from cgru.network.data.samples import Sequences

__all__ = [
    "Columns", "ColumnsError", "Dataset", "Series", "Split", "Step", "as_text", "described",
    "from_frame", "load_japanese_vowels", "overview", "read", "read_series", "series_from_frame",
]  # fmt: skip


def load_japanese_vowels() -> Dataset:
    """Load the UCI data set "Japanese Vowels", utterances of /ae/ by nine speakers, in its standard split.

    The task is to tell the speaker. `train` has 270 utterances, `test` 370. `X` is (m, s, 12) float32 with the
    `lengths` of utterances, 7 to 29 steps; `y` is the speaker, 0 to 8. Use the test split for the final score alone.
    `README.md` beside this module states source (Kudo, Toyama and Shimbo, 1999) and licence (CC BY 4.0).

    Returns:
        The data set.

    Examples:
        >>> data = cgru.datasets.load_japanese_vowels()
        >>> data.train.X.shape, data.test.X.shape
        ((270, 26, 12), (370, 29, 12))
    """
    splits = []
    with np.load(Path(__file__).with_name("japanese_vowels.npz")) as archive:
        for name in ("train", "test"):
            lengths, y = (archive[f"{name}_{key}"].astype(np.int32) for key in ("lengths", "y"))
            planes = np.ascontiguousarray(archive[f"{name}_x"].transpose(2, 1, 0))
            frames = (planes.view("<i4")[..., 0] / 1e6).astype(np.float32)
            X = padded(np.split(frames, np.cumsum(lengths)[:-1]))[0]
            splits.append(Split(Sequences(X, lengths), y))
    return Dataset(*splits, class_names=None)
