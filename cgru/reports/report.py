"""`report`: evaluate a network's predictions for given samples; `Report`, its result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cgru import losses
from cgru.activations import log_softmax, ours
from cgru.files import atomic_write
from cgru.network import Network
from cgru.network.data.samples import Sequences, sequences_of
from cgru.network.data.training_data import check_data
from cgru.network.estimator_network import Estimator, with_inputs
from cgru.reports import scores
from cgru.reports.report_text import as_html, text

__all__ = ["Report", "report"]


class Report(dict[str, Any]):
    """The numbers of an evaluation by name, a dict for `json.dumps`.

    It prints as text of 80 columns, in a notebook as tables. `cgru.report` makes it. Always there:

    - `task`: "classes", "labels" for independent yes-or-no outputs, or "regression"
    - `samples`, `count` (the samples, or the real steps of all with outputs at steps) and `per_step`
    - `loss` and `loss_name`

    For classes and labels:

    - `accuracy`
    - `classes`: a dict for each class with its name, precision, recall, f1, roc_auc (against all others), support and
      the number of rows with it `predicted`
    - `averages` of these over the classes in y, "macro" and "weighted"
    - `calibration`: the expected calibration `error` and its `bins`
    - for classes alone: `confusion`, the confusion matrix with true classes by rows, the `most_frequent` class, and the
      `accuracy_interval`, the 95 % confidence interval of the accuracy for independent rows (Wilson, 1927)

    For a regression:

    - `rmse` and `mae`
    - `outputs`: a dict for each target with its name, rmse, mae, r2, bias, the median and the maximum of its absolute
      errors, and, `by_target`, errors by fifths of the target
    - where the loss predicts uncertainty, its evaluation: `quantiles` and `between`; `intervals` and `deviation` of a
      gaussian; `deviance` and `dispersion` of rates

    Args:
        found: the scores.
        net: the network, for the plots.
        samples: the samples, for the plots.
        y: the scored targets.
        A: the scored outputs.

    Examples:
        >>> X, y = np.ones((4, 5, 3)), np.array([0, 1, 1, 0])
        >>> found = cgru.report(cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0), X, y)
        >>> found["task"], found["samples"], found["accuracy"], found["loss_name"]
        ('classes', 4, 0.5, 'cross_entropy')
    """

    def __init__(self, found: dict[str, Any], net: Network, samples: Sequences, y: Any, A: Any) -> None:
        super().__init__(found)
        self._net, self._samples, self._rows = net, samples, (y, A)

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        """Return the lines and tables of the text as HTML for notebooks."""
        return as_html(self)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Report",
        about: Mapping[str, str] | None = None,
        note: str = "",
    ) -> None:
        """Write the report with plots as one HTML file without scripts or external resources; needs matplotlib.

        Args:
            path: the file; it is replaced as a whole.
            title: the title of the page.
            about: further facts on the model and the data, by name: `{"data": "the clinic of 2024"}`.
            note: a note beside the scores.

        Raises:
            ImportError: matplotlib is not installed.
            OSError: the file cannot be written.

        Examples:
            >>> import pathlib
            >>> X, y = np.ones((4, 5, 3)), np.array([0, 1, 1, 0])
            >>> found = cgru.report(cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0), X, y)
            >>> found.save("report.html", title="Four samples")  # draws by matplotlib
            >>> "<title>Four samples</title>" in pathlib.Path("report.html").read_text(encoding="utf-8")
            True
        """
        from cgru.reports.page import page  # imports matplotlib

        written = page(self, self._net, self._samples, self._rows, title, about or {}, note)
        with atomic_write(path) as file:
            file.write(written.encode(errors="replace"))  # strings of NumPy may have lone surrogates


def report(
    net: Network | Estimator,
    X: ArrayLike,
    y: ArrayLike,
    lengths: ArrayLike | None = None,
) -> Report:
    """Evaluate the predictions of `net` for X against the targets y.

    Classes: precision, recall and F1 of each, the confusion matrix, the calibration. Regressions: RMSE, MAE, R^2,
    errors by fifths of the target. Losses that predict uncertainty: how well that is calibrated. States of `stateful`
    layers are reset before and after.

    Args:
        net: a network with a loss, or a fitted estimator of `cgru.sklearn` that is no ensemble.
        X: (m, s, e), tokens (m, s), a list of arrays or `Sequences`, as for `Network.predict`; of an estimator as for
            its `predict`.
        y: the targets, as for `Network.evaluate` or the estimator's `fit`; of probabilities the most probable class
            counts.
        lengths: (m,) the real steps of each sample; None: all. Outputs at padded steps are ignored.

    Returns:
        A dict of scores: `print` shows it as text, `save` writes it as an HTML page with plots.

    Raises:
        TypeError, ValueError: an argument is invalid, or outputs are not finite.
        ImportError: scikit-learn is not installed.

    Examples:
        >>> data = cgru.datasets.load_japanese_vowels()
        >>> X, y, _ = data.test
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(9, "softmax")], seed=0)
        >>> found = cgru.report(net, X, y)
        >>> found["samples"], found["classes"][0]["support"]
        (370, 31)
    """
    net, X, lengths = with_inputs(net, X, lengths)
    if not isinstance(net, Network):
        raise TypeError(f"net: expected a Network or an estimator of cgru.sklearn, got {type(net).__name__}")
    samples = sequences_of(X, lengths)
    data = check_data(net.data_spec, samples, y, None)
    net.reset_states()
    A, Y = (data.rows(each) for each in (net.predict(samples), data.y))  # without padding
    A = np.exp(A) if ours(net.head.activate) is log_softmax else A
    if not np.isfinite(A).all():
        raise ValueError("X: expected samples whose outputs are finite, got NaN or infinity among the outputs")
    loss = losses.named(net.loss)
    found = {
        "samples": len(samples),
        "count": len(A),
        "per_step": net.per_step,
        "loss": net.evaluate(samples, y)["loss"],  # resets states, too
        "loss_name": loss.name,
    }
    if loss.classifies:
        Y = Y if Y.ndim == 1 else loss.classes(Y)
        numbers = scores.classification(Y, A, loss, net.data_spec.labels)
    else:
        if A.shape[1] != Y.shape[1] * loss.outputs:
            due = f"as many targets as {net!r} has outputs, {A.shape[1]}, to say how far they are apart"
            raise ValueError(f"y: expected {due}, got {Y.shape[1]}")
        names = net.target_names or (["y"] if Y.shape[1] == 1 else [f"y[{i}]" for i in range(Y.shape[1])])
        numbers = scores.regression(Y, A, loss, names)
    return Report(numbers | found, net, samples, Y, A)
