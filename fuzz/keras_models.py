"""Keras models with something foreign at a random place: their numbers, or refused before anything is made.

Steps, features and units are all 4, so that hardly anything fails by its shape alone.
"""

from __future__ import annotations

import os
import warnings

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from keras import layers

from cgru import interop
from fuzz.networks import Dice

N = 4
KNOWN = {
    "gru": lambda dice: layers.GRU(
        N, return_sequences=True, reset_after=dice.chance(), go_backwards=dice.chance(0.2), use_bias=dice.chance(0.8)
    ),
    "both": lambda dice: layers.Bidirectional(
        layers.GRU(N, return_sequences=True, reset_after=dice.chance()), merge_mode=dice.among("sum", "mul", "ave")
    ),
    "dense": lambda dice: layers.Dense(N, activation=dice.among(None, "tanh", "relu")),
    "layer norm": lambda dice: layers.LayerNormalization(epsilon=0.01),
    "batch norm": lambda dice: layers.BatchNormalization(),
    "dropout": lambda dice: layers.Dropout(0.3),
    "activation": lambda dice: layers.Activation(dice.among("tanh", "sigmoid", "elu")),
    "convolution": lambda dice: layers.Conv1D(
        N, dice.number(1, 3), padding=dice.among("same", "causal"), dilation_rate=dice.number(1, 2)
    ),
}
FOREIGN = {
    "permute": lambda: layers.Permute((2, 1)),
    "pad": lambda: layers.ZeroPadding1D(1),
    "crop": lambda: layers.Cropping1D(1),
    "up": lambda: layers.UpSampling1D(2),
    "pool": lambda: layers.AveragePooling1D(2),
    "max": lambda: layers.MaxPooling1D(2),
    "lstm": lambda: layers.LSTM(N, return_sequences=True),
    "rnn": lambda: layers.SimpleRNN(N, return_sequences=True),
    "rescale": lambda: layers.Rescaling(2.0, 0.5),
    "masking": lambda: layers.Masking(0.0),
    "reshape": lambda: layers.Reshape((2, 8)),
    "softmax": lambda: layers.Softmax(axis=1),
    "features": lambda: layers.Softmax(),
    "unit": lambda: layers.UnitNormalization(),
    "lambda": lambda: layers.Lambda(lambda x: -x),
    "same": lambda: layers.Lambda(lambda x: x),
    "gelu": lambda: layers.Activation("gelu"),
    "noise": lambda: layers.GaussianNoise(0.5),
    "spatial": lambda: layers.SpatialDropout1D(0.3),
    "leaky": lambda: layers.LeakyReLU(0.2),
    "relu": lambda: layers.ReLU(max_value=0.5, threshold=0.1),
    "prelu": lambda: layers.PReLU(),
    "time": lambda: layers.TimeDistributed(layers.Dense(N)),
    "group": lambda: layers.GroupNormalization(2),
    "depth": lambda: layers.DepthwiseConv1D(2),
    "grouped": lambda: layers.Conv1D(N, 2, groups=2),
    "axis": lambda: layers.LayerNormalization(axis=1),
    "steps": lambda: layers.BatchNormalization(axis=1),
    "regular": lambda: layers.ActivityRegularization(0.1),
}
LAST = {"all": [], "mean": [layers.GlobalAveragePooling1D], "max": [layers.GlobalMaxPooling1D]}


def case(seed: int) -> str:
    """Convert a random model; return whether it was refused. Warnings are those of other packages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(seed)


def branched(dice: Dice, parts: list) -> keras.Model:
    """Return a model of these layers, with joins between them of what is there already."""
    arrays = [keras.Input((N, N))]
    for part in parts:
        arrays.append(part(arrays[-1]))
        alike = [A for A in arrays if A.shape == arrays[-1].shape]
        if dice.chance(0.4) and part is not parts[-1]:
            join = dice.among(layers.Add, layers.Multiply, layers.Average, layers.Subtract, layers.Concatenate)()
            arrays.append(join([arrays[-1], dice.among(*alike)]))
    return keras.Model(arrays[0], arrays[-1])


def convert(seed: int) -> str:
    """Do what `case` says."""
    dice = Dice(seed)
    names = [dice.among(*KNOWN) for _ in range(dice.number(0, 3))]
    names.insert(dice.number(0, len(names)), dice.among("gru", "both"))
    parts = [KNOWN[name](dice) for name in names]
    last, foreign = dice.among(*LAST), dice.among(*10 * [None], *FOREIGN)
    if foreign is not None:
        parts.insert(dice.number(0, len(parts)), FOREIGN[foreign]())
    X = dice.normal(3, N, N).astype(np.float32)
    parts += [*(make() for make in LAST[last]), layers.Dense(3, activation="tanh")]
    onward = not any(getattr(part, "go_backwards", False) for part in parts)
    try:
        model = branched(dice, parts) if onward and dice.chance() else keras.Sequential([keras.Input((N, N)), *parts])
    except ValueError:
        return "no model of Keras"
    model.set_weights(
        [
            dice.rng.random(w.shape) - 0.3 if "variance" not in w.path else 0.5 + dice.rng.random(w.shape)
            for w in model.weights
        ]
    )
    due = keras.ops.convert_to_numpy(model(X, training=False))
    try:
        net = interop.from_keras(model)
    except (TypeError, ValueError):
        assert foreign is not None, f"refused {names}, {last}"
        return "refused"
    np.testing.assert_allclose(net.predict(X), due, atol=1e-4, err_msg=f"{names}, {last}, {foreign}")
    return "read"
