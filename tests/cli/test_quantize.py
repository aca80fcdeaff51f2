"""cgru quantize: the file, and what it says of the change."""

import re

import numpy as np
import pytest
from cli_cases import QUICK, X, Y, refused, run

import cgru
from cgru.quantization import noise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With data of two classes, and a model of them."""
    folder = tmp_path_factory.mktemp("quantize")
    np.savez(folder / "data.npz", train_x=X, train_y=Y, test_x=X[::2], test_y=Y[::2])
    run("fit", "data.npz", "-o", "model.npz", "--quiet", *QUICK, cwd=folder)
    return folder


@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
def test_what_it_says_is_so(folder, weights):
    out, _ = run("quantize", "model.npz", "data.npz", "-o", f"{weights}.npz", "--weights", weights, cwd=folder)
    before, after, change, heads, *layers, place = out.splitlines()
    net, small = cgru.load(folder / "model.npz"), cgru.load(folder / f"{weights}.npz")
    score = run("evaluate", f"{weights}.npz", "data.npz", cwd=folder)[0].split(": ", 1)[1].strip()
    assert before + "\n" == run("evaluate", "model.npz", "data.npz", cwd=folder)[0]
    assert after == f"  with {weights} weights: {score}"
    due = noise(net.predict(X[::2]), small.predict(X[::2]))
    assert change == f"  outputs differ by {due['largest']:.2g} at most, RMS {due['rms']:.2g}: {due['snr']:.1f} dB"
    assert heads.split() == ["layer", "weights", "bytes", "before", "dB"]
    kinds = ["Bidirectional", "Pool", "Dropout", "Dense"]
    assert [line.split()[0] for line in layers] == [kind for kind in kinds if kind != "Dropout"]
    own = [layer.split() for layer in (layers[0], layers[-1])]
    assert [each[1] for each in own] == [weights, weights]
    for each, layer in zip(own, (small.layers[0], small.layers[-1]), strict=True):
        assert int(each[2]) == sum(array.nbytes for array in layer.p.values()) < int(each[3])
        assert 25 < float(each[4]) < 200
    sizes = [(folder / name).stat().st_size for name in (f"{weights}.npz", "model.npz")]
    assert place == f"model in {weights}.npz, {sizes[0]} bytes instead of {sizes[1]}"


def test_calibrated_and_mixed(folder):
    run("quantize", "model.npz", "data.npz", "-o", "fixed.npz", "--calibrate", cwd=folder)
    fixed = cgru.load(folder / "fixed.npz")
    net = cgru.load(folder / "model.npz")
    assert fixed.layers[0].halves[0].weights.x_bound == np.float32(np.abs(net.standardized(X)).max())
    out, _ = run("quantize", "model.npz", "data.npz", "-o", "mixed.npz", "--calibrate", "--limit", 200, cwd=folder)
    assert {layer.weights for layer in cgru.load(folder / "mixed.npz").layers if layer.p} == {"bfloat16"}
    assert len(re.findall("bfloat16", out)) == 3
    assert out.splitlines()[1].startswith("  with bfloat16 weights: ")


def test_integers(folder):
    run("fit", "data.npz", "-o", "causal.npz", "--causal", "--quiet", *QUICK, cwd=folder)
    out, _ = run("quantize", "causal.npz", "data.npz", "-o", "whole.npz", "--activations", "int16", cwd=folder)
    net, small = (cgru.load(folder / name) for name in ("causal.npz", "whole.npz"))
    assert np.array_equal(small.predict(X), cgru.quantize(net, activations="int16", calibration=X).predict(X))
    assert out.splitlines()[1].startswith("  with int8 weights and int16 activations: ")
    assert [line.split()[1] for line in out.splitlines()[4:-1]] == ["int8", "int16", "int8"]
    run("export", "whole.npz", "-o", "whole.c", cwd=folder)
    assert "const int16_t *x" in (folder / "whole.h").read_text()
    assert "Bidirectional" in refused(
        "quantize", "model.npz", "data.npz", "-o", "x.npz", "--activations", "int16", cwd=folder
    )


def test_a_layer_of_two_is_mixed(folder):
    out, _ = run("quantize", "model.npz", "data.npz", "-o", "one.npz", "--calibrate", cwd=folder)
    limit = np.mean([float(line.split()[-1]) for line in out.splitlines() if line.startswith(("  Bidir", "  Dense"))])
    out, _ = run("quantize", "model.npz", "data.npz", "-o", "two.npz", "--calibrate", "--limit", limit, cwd=folder)
    assert {layer.weights for layer in cgru.load(folder / "two.npz").layers if layer.p} == {"int8", "bfloat16"}
    assert out.splitlines()[1].startswith("  with int8 and bfloat16 weights: ")


@pytest.mark.parametrize(
    ("arguments", "due"),
    [
        (["model.npz", "data.npz", "-o", "model.npz"], "model.npz: this would overwrite"),
        (["model.npz", "data.npz", "-o", "x.npz", "--limit", "3"], "argument --limit: needs --calibrate"),
        (
            ["model.npz", "data.npz", "-o", "x.npz", "--calibrate", "--limit", "3", "--weights", "bfloat16"],
            "limit: expected an int8 layer, which may become",
        ),
        (["int8.npz", "data.npz", "-o", "x.npz"], "net: expected float weights, got layer 0"),
        (["nowhere.npz", "data.npz", "-o", "x.npz"], "nowhere.npz: No such file"),
        (["model.npz", "-o", "x.npz"], "Japanese Vowels: expected 3 features a step"),
        (["model.npz", "nan.npz", "-o", "x.npz"], "nan.npz: x: expected finite numbers"),
    ],
)
def test_refused(folder, arguments, due):
    run("quantize", "model.npz", "data.npz", "-o", "int8.npz", cwd=folder)
    np.savez(folder / "nan.npz", x=X * np.nan, y=Y)
    assert refused("quantize", *arguments, cwd=folder).startswith(f"cgru: error: {due}")
    assert not (folder / "x.npz").exists()
