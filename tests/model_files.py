"""Write small models of this version, with inputs and outputs, for tests/test_model_files.py of all later versions.

`python tests/model_files.py` does it at a release, once: tests/models/VERSION has one file for each model, and
`answers.npz` with X, lengths, times and outputs by the model's name. A new kind of layer or file gets a line here.
"""

import sys
from pathlib import Path

import numpy as np

import cgru

FOLDER = Path(__file__).resolve().parent / "models"
RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 6, 4)).astype(np.float32)
TOKENS = RNG.integers(0, 5, (3, 6))
LENGTHS = {"lengths": np.array([6, 2, 4])}
GAPS = np.where(RNG.random(X.shape) < 0.3, np.float32("nan"), X)
TIMES = {"times": np.cumsum(RNG.random((3, 6)) + 0.5, axis=1)}
CLASSES = np.array([0, 1, 0])
SERIES = np.arange(60) % 4 + np.arange(60) / 20


def network(*layers, X=X, **options):
    """A network whose parameters are all random, those that begin as zeros or ones too."""
    net = cgru.Network(list(layers), seed=0, **{"dtype": np.float32} | options)
    net.make(X)
    for value in net.parameters().values():
        value += np.random.default_rng(1).standard_normal(value.shape) / 4
    return net


def made():
    """Yield (name, model, its inputs, further arguments of predict) of each model."""
    whole = cgru.Network([cgru.GRU(3), cgru.Dense(2, "softmax")], seed=0, class_names=["no", "yes"])  # in float64
    whole.fit(X, CLASSES, epochs=2)
    yield "gru_dense.model", whole, X, LENGTHS
    yield "single.model", network(cgru.GRU(2, "elu", layer_norm=True, learn_h0=True, reverse=True)), X, LENGTHS
    yield "bidirectional.model", network(cgru.Bidirectional(cgru.GRU(2, reset_after=True), "mul")), X, LENGTHS
    joined = cgru.Concatenate([], [cgru.Select([1, 3]), cgru.Dense(2)]), cgru.Multiply([], cgru.Activation("tanh"))
    yield "branches.model", network(*joined, cgru.Add([], [cgru.GRU(6, sequences=True)]), cgru.Pool()), X, LENGTHS
    chain = cgru.Normalize(), cgru.Difference(), cgru.Scale(), cgru.Conv1D(3, 2), cgru.LayerNorm(), cgru.Clip(-1, 1)
    chain += cgru.Flip(), cgru.Frames(2), cgru.Dropout(0.5), cgru.Pool("mean+max+attention"), cgru.Dense(2)
    yield "layers.model", network(*chain), X, LENGTHS
    yield "tokens.model", network(cgru.Embedding(5, 3), cgru.GRU(2), X=TOKENS), TOKENS, LENGTHS
    yield "switching.model", network(cgru.SwitchingGRU(2, 5), X=TOKENS), TOKENS, LENGTHS
    yield "gaps.model", network(cgru.GRUD(3), cgru.Dense(1, "identity"), X=GAPS), GAPS, TIMES
    plain = network(cgru.GRU(3, reset_after=True), cgru.Dense(2, "softmax"))
    yield "int8.model", cgru.quantize(plain), X, LENGTHS
    yield "bfloat16.model", cgru.quantize(plain, "bfloat16"), X, LENGTHS
    yield "integers.model", cgru.quantize(plain, activations="int16", calibration=X), X, LENGTHS
    series = cgru.forecast.Forecaster(2, season=4, networks=1, units=2, epochs=2).fit(SERIES)
    yield "series.forecaster", series, SERIES, {}


def outputs(model, X, options):
    """What a model predicts."""
    X = cgru.Sequences(X, **options) if options else X
    return model.predict(X)


def main():
    """Write the folder of this version; fail if it is there."""
    folder = FOLDER / cgru.__version__
    folder.mkdir(parents=True)
    answers = {}
    for name, model, X, options in made():
        model.save(folder / f"{name}.npz")
        arrays = {"X": X, **options, "outputs": outputs(model, X, options)}
        answers |= {f"{name}/{key}": array for key, array in arrays.items()}
    np.savez_compressed(folder / "answers.npz", **answers)


if __name__ == "__main__":
    sys.exit(main())
