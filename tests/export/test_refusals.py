"""What `export_c` refuses, with no file left or changed; its command and example."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_cases import CC, STEPS, assert_equal, inputs, needs_cc, network, stacked
from helpers import random_layer, some

import cgru

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plain_c"


@pytest.mark.skipif(sys.platform == "win32", reason="modes and pipes of POSIX")
@pytest.mark.parametrize("ending", [".c", ".h"])
@pytest.mark.parametrize("kind", ["read-only", "pipe"])
def test_files_that_cannot_be_replaced_leave_the_other_alone(tmp_path, ending, kind):
    for path in (tmp_path / "model.c", tmp_path / "model.h"):
        if path.suffix == ending and kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_text("old")
            path.chmod(0o444 if path.suffix == ending else 0o644)
    with pytest.raises(PermissionError if kind == "read-only" else FileExistsError) as caught:
        cgru.export_c(random_layer(2, 3), tmp_path / "model.c")
    assert caught.value.filename.endswith(ending)
    assert {path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {"old"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        cgru.export_c(random_layer(2, 3), tmp_path / "model.c")
    assert caught.value.filename == str(tmp_path / "model.c")
    assert os.listdir(tmp_path) == []


def test_a_layer_normalised_gru(tmp_path):
    words = "net: expected GRUs of the variant reset_before or reset_after to export, got layer_norm as layer 0"
    with pytest.raises(ValueError, match=words):
        cgru.export_c(random_layer(2, 3, layer_norm=True), tmp_path / "model.c")
    assert os.listdir(tmp_path) == []


def without(net, name):
    del net.layers[0].p[name]
    return net


def changed(net, **attributes):
    for name, value in attributes.items():
        setattr(net.layers[0], name, value)
    return net


def with_weight(value, dtype=np.float64):
    net = network(dtype)
    net.layers[0].p["Vz"][2, 1] = value
    return net


def with_scale(value):
    net = network(np.float64)
    net.mean, net.scale = np.zeros(5), np.full(5, value)
    return net


def random_network(**options):
    return stacked(np.float64, cgru.GRU(3, **options))


class Own(cgru.GRU):
    pass


@pytest.mark.parametrize(
    ("net", "options", "error", "words"),
    [
        (lambda: cgru.Dense(3), {}, TypeError, "net: "),
        (lambda: None, {}, TypeError, "net: "),
        (lambda: cgru.GRU(3), {}, RuntimeError, "expected parameters, got none in layer 0"),
        (lambda: cgru.Network([cgru.GRU(3), cgru.Dense()]), {}, RuntimeError, "expected parameters"),
        (lambda: changed(network(np.float64), activate=np.sin), {}, ValueError, "activate: "),
        (lambda: changed(network(np.float64), activate_reset=cgru.softmax), {}, ValueError, "activate_reset: "),
        (lambda: network(np.float64, activate=lambda z, deriv=False: z), {}, ValueError, "<lambda> in layer 2"),
        (lambda: Own(3), {}, ValueError, "got Own as layer 0"),
        (
            lambda: cgru.GRU(3, reverse=True),
            {},
            ValueError,
            "got GRU.*reverse=True.* as layer 0, which needs later ones",
        ),
        (lambda: stacked(np.float64, cgru.GRU(3, sequences=True), cgru.Normalize()), {}, ValueError, "net: "),
        (lambda: stacked(np.float64, cgru.Bidirectional(cgru.GRU(3))), {}, ValueError, "net: "),
        (lambda: stacked(np.float64, cgru.Embedding(3, 2), cgru.Pool("last")), {}, ValueError, "net: "),
        (lambda: without(random_network(reset_after=True), "chh"), {}, ValueError, r"p\['chh'\] of layer 0: missing"),
        (lambda: without(network(np.float64), "Vz"), {}, ValueError, r"p\['Vz'\] of layer 0: missing"),
        (lambda: without(network(np.float64), "Uz"), {}, ValueError, r"p\['Uz'\] of layer 0: missing"),
        (lambda: with_weight(np.nan), {}, ValueError, r"p\['Vz'\] of layer 0: "),
        (lambda: with_weight(1e300), {"dtype": np.float32}, ValueError, r"finite numbers in float32"),
        (
            lambda: network(np.float64, activate=cgru.elu, se_hPars={"ELU_alpha": 1e99}),
            {"dtype": np.float32},
            ValueError,
            r"se_hPars\['ELU_alpha'\]: ",
        ),
        (lambda: with_scale(1e-60), {"dtype": np.float32}, ValueError, "scale: "),
        (lambda: with_scale(1e60), {"dtype": np.float32}, ValueError, "scale: "),
        (lambda: network(np.float64), {"dtype": np.int32}, (TypeError, ValueError), "dtype"),
        (lambda: network(np.float64), {"name": "9"}, ValueError, "name: "),
        (lambda: network(np.float64), {"name": "a b"}, ValueError, "name: "),
        (lambda: network(np.float64), {"name": 3}, TypeError, "name: "),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(tmp_path, net, options, error, words):
    with pytest.raises(error, match=words):
        cgru.export_c(net(), tmp_path / "model.c", **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["model.txt", "model", 'a".c', "a\\.c", "a\n.c"])
def test_bad_paths(tmp_path, name):
    with pytest.raises(ValueError, match="path: "):
        cgru.export_c(random_layer(2, 3), tmp_path / name)
    with pytest.raises(FileNotFoundError):
        cgru.export_c(random_layer(2, 3), tmp_path / "no" / "model.c")
    with pytest.raises(TypeError, match="path"):
        cgru.export_c(random_layer(2, 3), b"model.c")
    assert os.listdir(tmp_path) == []


# --- the command and the example ---


def command(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "cgru", "export", *arguments], cwd=folder, capture_output=True, text=True
    )


def test_the_command(tmp_path):
    net = network(np.float64)
    net.save(tmp_path / "net.npz")
    done = command(tmp_path, "net.npz", "-o", "out.c", "--name", "given", "--dtype", "float32")
    assert (done.returncode, done.stdout, done.stderr) == (0, "model in out.c, header in out.h\n", "")
    cgru.export_c(net, tmp_path / "due.c", name="given", dtype=np.float32)
    for ending in ("c", "h"):
        got, due = ((tmp_path / f"{stem}.{ending}").read_text() for stem in ("out", "due"))
        assert got == due.replace("due.", "out.")
    done = command(tmp_path, "net.npz", "-o", "out.c", "--weights", "file")
    assert done.stdout == "model in out.c, header in out.h, weights in out.weights\n"
    cgru.export_c(net, tmp_path / "due.c", weights="file")
    assert (tmp_path / "out.weights").read_bytes() == (tmp_path / "due.weights").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    some(
        2,
        [
            (("net.npz", "-o", "out.c", "--name", "0"), "expected a C identifier"),
            (("none.npz", "-o", "out.c"), "none.npz"),
            (("net.npz",), "-o"),
            (("net.npz", "-o", "out.txt"), "expected a name ending in .c"),
            (("net.npz", "-o", "no/out.c"), "does not exist"),
        ],
    ),
)
def test_the_command_refuses_in_one_line(tmp_path, arguments, words):
    network(np.float64).save(tmp_path / "net.npz")
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cgru: error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert os.listdir(tmp_path) == ["net.npz"]


@needs_cc
@pytest.mark.skipif(not EXAMPLE.exists(), reason="the examples are not beside the tests")
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_the_example_prints_what_predict_gives(tmp_path):
    for path in EXAMPLE.iterdir():
        shutil.copy(path, tmp_path)
    net = network(np.float32)
    cgru.export_c(net, tmp_path / "model.c")
    done = subprocess.run(["make", f"CC={CC}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    X = inputs(net, np.float32)
    text = "\n".join(" ".join(map(repr, row)) for row in X.tolist())
    done = subprocess.run([tmp_path / "frames"], input=text, capture_output=True, text=True)
    assert done.returncode == 0
    got = np.array([list(map(float, line.split())) for line in done.stdout.splitlines()])
    assert_equal(got, np.array([net.predict(X[None, : t + 1])[0] for t in range(STEPS)], np.float64), np.float32)
    assert subprocess.run([tmp_path / "frames"], input="1 2 x", capture_output=True, text=True).returncode == 1
