"""A report: what a network's predictions of some samples are worth."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru import losses
from cgru.files import atomic_write
from cgru.network import Network
from cgru.network.data.training_data import check_data, check_inputs
from cgru.reports import numbers
from cgru.reports.comparison import outside, seen
from cgru.reports.tables import text

__all__ = ["Report", "report"]


class Report(dict[str, Any]):
    """The numbers of a report by name, which `json.dumps` takes as they are; printed, it is text of 80 columns.

    In all: `task` ("classes", "labels" for several outputs that each say yes or no, or "regression"), `samples`,
    `count` (those or, with outputs at steps, the real steps of all), `per_step`, `loss` and `loss_name`; `seen`, how
    many of the samples the network was trained on, None where it does not remember (`cgru.reports.comparison.seen`);
    and `outside`, the features that lie far outside the range that it was trained on.

    Of classes and labels: `accuracy`; `classes`, a dict each with its name, precision, recall, f1, support and
    how often it was `predicted`; `averages` of these over the classes that are there, "macro" and "weighted";
    `calibration`, the expected calibration `error` and its `bins`. Of classes: `confusion`, how many of each class
    (the rows) were taken for each (the columns), and the `most_frequent` one.

    Of a regression: `rmse`, `mae`, and `outputs`, a dict for each target with its name, rmse, mae, r2, bias, the
    quantiles of its `errors` and, `by_target`, those of its lowest fifth to its highest; and what came of what the loss
    promises: `quantiles` and `between`, or `intervals` and `deviation` of a gaussian, `deviance` and `dispersion` of
    rates.
    """

    def __init__(self, found: dict[str, Any], net: Network, X: np.ndarray, lengths: Any, y: Any, A: Any) -> None:
        super().__init__(found)
        self._net, self._samples, self._rows = net, (X, lengths), (y, A)

    def __repr__(self) -> str:
        return text(self)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Report",
        about: Mapping[str, str] | None = None,
        note: str = "",
    ) -> None:
        """Write it with pictures as one HTML file, which needs nothing else and runs no script; needs matplotlib.

        Args:
            path: the name of the file, written beside and renamed.
            title: what stands above all.
            about: what else is to be said of the model and the data, by name: `{"data": "the clinic of 2024"}`.
            note: what the reader must know to judge the scores, beside them.

        Raises:
            ImportError: matplotlib is not installed.
            OSError: the file cannot be written.
        """
        from cgru.reports.page import page  # which nobody else needs

        written = page(self, self._net, self._samples, self._rows, title, about or {}, note)
        with atomic_write(path) as file:
            file.write(written.encode(errors="replace"))  # NumPy's strings may be no Unicode


def report(net: Network, X: ArrayLike, y: ArrayLike, lengths: ArrayLike | None = None) -> Report:
    """What the predictions of `net` for X are worth beside the targets y: a `Report`, which is a dict.

    Of classes precision, recall and F1 of each, the confusion matrix and the calibration; of numbers RMSE, MAE, R^2 and
    their errors by fifths of the target; of losses that predict more than one number what came of their promises.
    `print` shows it, `save` writes it as a page with pictures. `stateful` layers begin anew, before and after.

    Args:
        net: a network with a loss.
        X: (m, s, e), tokens (m, s) or a list of arrays, as for `Network.predict`.
        y: the targets, as for `Network.evaluate`; where they are probabilities the most probable class counts.
        lengths: (m,) the real steps of each sample; None: all. With outputs at steps padded ones count nowhere.

    Raises:
        TypeError, ValueError: an argument is not what it should be, or outputs are not finite.
        ImportError: scikit-learn is not installed.
    """
    if not isinstance(net, Network):
        raise TypeError(f"net: expected a Network, got {type(net).__name__}")
    X, lengths = check_inputs(net.data_spec, X, lengths)
    data = check_data(net.data_spec, X, y, lengths)
    net.reset_states()
    A, Y = data.rows(net.predict(X, lengths)), data.rows(data.y)
    if not np.isfinite(A).all():
        raise ValueError("X: expected samples whose outputs are finite, got NaN or infinity among the outputs")
    loss = losses.named(net.loss)
    found = {
        "samples": len(X),
        "count": len(A),
        "per_step": net.per_step,
        "loss": net.evaluate(X, y, lengths)["loss"],  # which lets states begin anew, too
        "loss_name": loss.name,
        "seen": seen(net, X, lengths),
        "outside": outside(net, X, lengths),
    }
    if loss.classifies:
        Y = Y if Y.ndim == 1 else loss.classes(Y)
        scores = numbers.of_classes(Y, A, loss, net.data_spec.labels)
    else:
        if A.shape[1] != Y.shape[1] * loss.outputs:
            due = f"as many targets as {net!r} has outputs, {A.shape[1]}, to say how far they are apart"
            raise ValueError(f"y: expected {due}, got {Y.shape[1]}")
        names = net.target_names or (["y"] if Y.shape[1] == 1 else [f"y[{i}]" for i in range(Y.shape[1])])
        scores = numbers.of_numbers(Y, A, loss, names)
    return Report(scores | found, net, X, lengths, Y, A)
