"""`Sequences`: samples with their lengths and with arrays that have a number for each step, all checked.

m samples, s steps, e features per step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from cgru.core.checks import lengths_of, real
from cgru.core.decay import decay_of
from cgru.core.lengths import padded, times_of
from cgru.core.row_blocks import Rows, select_rows
from cgru.network.data.dataframes import as_sequences

__all__ = ["STEP_ARRAYS", "Sequences", "opened", "sequences_of", "step_arrays"]

STEP_ARRAYS = {"resets": "decay", "decay": "decay", "times": "times"}  # the arguments, and what layers read of each


@dataclass(frozen=True, eq=False, repr=False)
class Sequences:
    """Samples with their lengths, and optionally with resets, decay factors or times of their steps.

    Networks, estimators of `cgru.sklearn`, `cgru.fit_many`, reports and plots take it as X. It is checked once and then
    constant. `X` is kept as it is, a memory-mapped array in its file; a list of arrays is padded; the others are
    copied.

    It has the `len`, `shape`, `ndim` and `dtype` of X. An index (an integer, a slice, booleans (m,) or integers)
    selects samples, as `Sequences`: splitters and searches of scikit-learn work on it.

    Args:
        X: (m, s, e), integer tokens (m, s), a list of arrays whose lengths may differ, (s_i, e) or (s_i,), or a
            DataFrame in a form that stands at the top of `cgru.sklearn`.
        lengths: (m,) integers, the real steps of each sample; steps past them are ignored. None: all, or those of a
            list.
        resets: (m, s) booleans, True where a state begins anew as it enters the step: an episode begins there. A state
            begins anew at zero, or at the learned state of `learn_h0`. All recurrent layers read `resets`, and must
            read the steps of X. As lists, where X is one.
        decay: (m, s) reals from 0 to 1 in the place of `resets`, the factor of the state as it enters the step: 1
            leaves it, 0 is a reset, between them it fades. The factor belongs to the time between a step and the one
            before; a layer in `reverse` meets it there, too. No gradient passes to it.
        times: (m, s) the times of the steps, which must not decrease, for a first layer that reads them.

    Attributes:
        feature_names: the names of the columns of a DataFrame, else None.

    Raises:
        TypeError, ValueError: an argument is invalid, or does not fit X.

    Examples:
        >>> X = cgru.Sequences([np.ones((4, 2)), np.ones((3, 2))], resets=[[True, False, True, False], [True] * 3])
        >>> X, X.shape, X[1:].lengths.tolist()
        (Sequences(2 samples of 3 to 4 steps, 2 features, resets), (2, 4, 2), [3])
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(1, "identity")], seed=0)
        >>> net.predict(X).shape
        (2, 1)
    """

    X: Any
    lengths: Any = None
    _: KW_ONLY
    resets: Any = None
    decay: Any = None
    times: Any = None
    feature_names: tuple[str, ...] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        X, lengths, names = opened(self.X, self.lengths)
        X = X if isinstance(X, Rows) else real(X, "X")
        if X.ndim not in (2, 3) or not all(X.shape):
            raise ValueError(f"X: expected shape (m, s, e), or (m, s) for tokens, at least 1 each, got {X.shape}")
        m, s = X.shape[:2]
        lengths = lengths_of(lengths, m, s)
        given = {name: value for name in STEP_ARRAYS if (value := getattr(self, name)) is not None}
        given = {name: _rectangle(value, m, s, lengths, name) for name, value in given.items()}
        dtype = np.result_type(given.get("decay", np.float32(0)), np.float32)
        factors = decay_of(given.get("resets"), given.get("decay"), m, s, None, lengths, dtype)
        if "decay" in given:
            given["decay"] = factors[:, :, 0]
        elif "resets" in given:
            given["resets"] = given["resets"].copy()
        if "times" in given:
            given["times"] = times_of(given["times"], m, s, lengths).copy()
        self._set(given | {"X": X if isinstance(X, Rows) else X.view(), "lengths": lengths, "feature_names": names})

    def _set(self, values: dict[str, Any]) -> None:
        """Set attributes of a new object, and make its arrays read-only."""
        for array in values.values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        vars(self).update(values)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(state)  # arrays that were pickled are writable

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, at: Any) -> Sequences:
        if isinstance(at, tuple) and len(at) == 2 and at[1] is Ellipsis:  # as scikit-learn selects from arrays
            at = at[0]
        rows = np.atleast_1d(np.arange(len(self))[at])
        if rows.ndim > 1:
            raise IndexError(f"Sequences: expected an index of samples, got {rows.ndim} axes")
        views = isinstance(at, slice) and not isinstance(self.X, Rows)
        names = "X", "lengths", *STEP_ARRAYS
        arrays = {name: array for name in names if (array := getattr(self, name)) is not None}
        found = object.__new__(Sequences)
        vars(found).update(vars(self))
        found._set({name: array[at] if views else select_rows(array, rows) for name, array in arrays.items()})
        return found

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        due = "an array, got Sequences, whose array is their X: lengths and other arrays would be lost"
        raise TypeError(f"expected {due}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of X."""
        return self.X.shape

    @property
    def ndim(self) -> int:
        """Return the number of axes of X."""
        return self.X.ndim

    @property
    def dtype(self) -> np.dtype:
        """Return the dtype of X."""
        return self.X.dtype

    @staticmethod
    def concatenate(parts: Iterable[Sequences]) -> Sequences:
        """Concatenate the samples of several `Sequences`, padded to the longest.

        Args:
            parts: the `Sequences`, which agree in what is given.

        Returns:
            The joined `Sequences`.

        Raises:
            ValueError: there are none, or one has `resets`, `decay` or `times` that the first has not, or other
                features.

        Examples:
            >>> parts = [cgru.Sequences(np.ones((2, s, 3))) for s in (4, 6)]
            >>> cgru.Sequences.concatenate(parts)
            Sequences(4 samples of 4 to 6 steps, 3 features)
        """
        parts = list(parts)
        kinds = [(sorted(step_arrays(part)), part.shape[2:], part.feature_names) for part in parts]
        for i, kind in enumerate(kinds):
            if kind != kinds[0]:
                raise ValueError(f"parts[{i}]: expected the same arrays and features as {parts[0]!r}, got {parts[i]!r}")
        if not parts:
            raise ValueError("parts: expected at least one Sequences, got none")
        s = max(part.shape[1] for part in parts)
        lengths = None
        if any(part.lengths is not None or part.shape[1] < s for part in parts):
            full = [np.full(len(part), part.shape[1]) for part in parts]
            own = zip(parts, full, strict=True)
            lengths = np.concatenate([steps if part.lengths is None else part.lengths for part, steps in own])

        def joined(name: str) -> np.ndarray:
            """Concatenate arrays along the samples, with zeros in the padding."""
            arrays = [np.asarray(getattr(part, name)[:]) for part in parts]
            room = np.zeros((sum(map(len, arrays)), s, *arrays[0].shape[2:]), np.result_type(*arrays))
            at = 0
            for array in arrays:
                room[at : at + len(array), : array.shape[1]] = array
                at += len(array)
            return room

        found = Sequences(joined("X"), lengths, **{name: joined(name) for name in step_arrays(parts[0])})
        vars(found).update(feature_names=parts[0].feature_names)
        return found

    def __repr__(self) -> str:
        m, s = self.shape[:2]
        least, most = (s, s) if self.lengths is None or not m else (self.lengths.min(), self.lengths.max())
        steps = f"{most}" if least == most else f"{least} to {most}"
        samples = f"{m} sample{'s' * (m != 1)} of {steps} steps"
        what = f"{self.shape[2]} features" if self.ndim == 3 else "a number a step"
        return f"Sequences({', '.join([samples, what, *step_arrays(self)])})"


def step_arrays(X: Sequences) -> dict[str, np.ndarray]:
    """Return the arrays `resets`, `decay` and `times` that X has, as a dict."""
    return {name: array for name in STEP_ARRAYS if (array := getattr(X, name)) is not None}


def sequences_of(X: Any, lengths: Any = None, name: str = "") -> Sequences:
    """Return X itself if it is a `Sequences`, else `Sequences(X, lengths)`.

    ValueError, with the prefix `name`, for `lengths` beside `Sequences`.
    """
    if not isinstance(X, Sequences):
        return Sequences(X, lengths)
    if lengths is not None:
        raise ValueError(f"{name}lengths: expected None with Sequences, which have their own, got some")
    return X


def opened(X: Any, lengths: Any, name: str = "") -> tuple[Any, Any, tuple[str, ...] | None]:
    """Return (X, lengths, feature names or None), with a DataFrame or a list of samples converted to a padded array.

    ValueError, with the prefix `name`, for `lengths` beside samples that have their own.
    """
    X, names = as_sequences(X, f"{name}X") or (X, None)
    if _is_ragged(X, name):
        if lengths is not None:
            raise ValueError(f"{name}lengths: expected None with a list of arrays, which have their own, got some")
        X, lengths = padded(X, f"{name}X")
    return X, lengths, names


def _is_ragged(X: Any, name: str) -> bool:
    """Return whether X is a list of arrays with different lengths; ValueError if an element is not an array."""
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and X.size > 0
    if not isinstance(X, list | tuple):
        return False
    dims = []
    for i, x in enumerate(X):
        try:
            dims.append(np.ndim(x))
        except ValueError:
            raise ValueError(
                f"{name}X: expected an array (s, e) for each sample, got a {type(x).__name__} of different parts for "
                f"sample {i}; batches, (X, y), go to fit and evaluate without a separate y"
            ) from None
    return all(dims) and len(set(map(len, X))) > 1


def _rectangle(value: Any, m: int, s: int, lengths: np.ndarray | None, name: str) -> np.ndarray:
    """Return a list of m arrays (s_i,), a number per step, as one array (m, s) padded like X."""
    ragged = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object)
    if ragged and len(value) == m and all(np.ndim(row) == 1 for row in value):
        array, own = padded(value, name)
        steps = np.full(m, s) if lengths is None else lengths
        wrong = np.flatnonzero(own != steps)
        if wrong.size and (own != s).any():
            i = wrong[0]
            raise ValueError(f"{name}[{i}]: expected {steps[i]} steps, as X[{i}] has, got {own[i]}")
        value = np.pad(array, ((0, 0), (0, s - array.shape[1])))
    array = real(value, name)
    if array.shape != (m, s):
        raise ValueError(f"{name}: expected shape ({m}, {s}), a number for each step of X, got {array.shape}")
    return array
