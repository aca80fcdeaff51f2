"""Weights apart from the C that reads them: the same numbers, and a code for every file that does not fit."""

import ctypes
import os
import re
import shutil
import subprocess
import zlib

import numpy as np
import pytest
from export_cases import (
    CC,
    CLANG,
    CXX,
    STRICT,
    Exported,
    aligned,
    assert_equal,
    compile_c,
    gru,
    inputs,
    library,
    needs_cc,
    network,
    stacked,
    standardized,
)
from helpers import random_layer, refuses

import cgru

F4, F8 = np.dtype(np.float32), np.dtype(np.float64)


def kinds():
    """Every kind of layer and of weights, by name: the model, and the dtype to export it in."""
    for dtype in (F4, F8):
        learned = gru(17, dtype, learn_h0=True), cgru.Clip(-0.3, 0.2), gru(7, dtype, reset_after=True, zoneout=0.1)
        yield f"learned{dtype}", stacked(dtype, cgru.Scale(dtype=dtype), *learned), dtype
        yield f"standardized{dtype}", standardized(dtype), dtype
    yield "narrowed", standardized(F8), F4
    yield "fading", stacked(F4, cgru.GRUD(9, dtype=F4, sequences=True), gru(5, F4)), F4
    branches = cgru.Concatenate([gru(9, F4)], [cgru.Scale(dtype=F4), gru(7, F4), cgru.LayerNorm(dtype=F4)])
    yield "branches", stacked(F4, branches, cgru.Add([gru(5, F4)], [cgru.Dense(5, dtype=F4)]), gru(5, F4)), F4
    yield "selected", stacked(F8, cgru.Select([3, 1]), cgru.Conv1D(4, 3, padding="causal", dtype=F8), gru(5, F8)), F8
    yield "attending", stacked(F4, gru(7, F4), cgru.Pool("attention+mean", 4, dtype=F4)), F4
    yield "attending_simply", stacked(F8, gru(7, F8), cgru.Difference(), cgru.Pool("max+attention", dtype=F8)), F8
    yield "switching", stacked(F4, cgru.SwitchingGRU(7, 11, dtype=F4)), F4
    yield "bare", random_layer(5, 9), F8
    for kind in (None, "int8", "bfloat16"):
        tokens = stacked(F4, cgru.Embedding(11, 5, dtype=F4), gru(9, F4))
        for name, net in (("tokens", tokens), ("deep", network(F4)), ("standardized", standardized(F4))):
            if kind:
                net = cgru.quantize(net, kind, calibration=inputs(net, F4, 6)[None])
            yield f"{name}_{kind}", net, F4


KINDS = {name: (net, dtype) for name, net, dtype in kinds()}


def written(folder, net, name="model", dtype=None):
    """The header, the source and the weights of a model."""
    cgru.export_c(net, folder / f"{name}.c", dtype=dtype, weights="file")
    return [(folder / f"{name}.{ending}").read_bytes() for ending in ("h", "c", "weights")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both builds of each kind: with its weights in the code, and apart."""
    folder, files = tmp_path_factory.mktemp("apart"), {}
    for name, (net, dtype) in KINDS.items():
        cgru.export_c(net, folder / f"inside_{name}.c", dtype=dtype)
        files[name] = written(folder, net, name, dtype)[2]
    return library(folder, sorted(folder.glob("*.c")), "-O0"), files, folder


@pytest.fixture(scope="module")
def built_small(built, tmp_path_factory):
    """The same C as a machine without vectors compiles it."""
    return library(tmp_path_factory.mktemp("small"), sorted(built[2].glob("*.c")), "-O0", "-DSMALL")


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("small", [(False, True), (True, True), (True, False)])
def test_the_numbers_are_those_of_weights_inside(built, built_small, name, small):
    """On this machine and on one without vectors, whose weights have no padding unless a file has them."""
    shared, files, _ = built
    net, dtype = KINDS[name]
    inside, apart = (
        Exported(built_small if without else shared, *given)
        for without, given in zip(small, ((f"inside_{name}", net, dtype), (name, net, dtype, files[name])), strict=True)
    )
    X = inputs(net, dtype)
    due = inside.run(X)
    np.testing.assert_array_equal(apart.run(X), due)
    apart.reset()
    np.testing.assert_array_equal(apart.run(X), due)


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiler", [(CLANG, "-std=c99"), (CXX, "-x", "c++", "-std=c++17"), (CXX, "-x", "c++", "-std=c++11")]
)
def test_compilers_have_nothing_to_say(built, compiler):
    if None in compiler:
        pytest.skip("not installed")
    compile_c(*compiler, *STRICT, "-fsyntax-only", *(built[2] / f"{name}.c" for name in KINDS))


# --- one architecture ---


def trained(seed):
    net = network(np.float32, (5, 4), seed=seed)
    net.mean, net.scale = np.full(5, seed / 3), np.full(5, 1 + seed)
    return net


def int8(seed):
    return cgru.quantize(trained(seed), calibration=inputs(trained(0), F4, seed)[None])


def fading(seed):
    net = stacked(F4, cgru.GRUD(4, dtype=F4), seed=seed)
    net.layers[0].unit = 1 + seed / 2
    return net


@needs_cc
@pytest.mark.parametrize("make", [trained, int8, fading])
def test_models_of_one_architecture_share_the_code(tmp_path, make):
    texts, files = [], []
    for seed in range(2):
        net = make(seed)
        net.class_names = [f"{seed}{i}" for i in range(3)]
        *text, weights = written(tmp_path, net)
        texts.append(text)
        files.append(weights)
    assert texts[0] == texts[1]
    assert len(files[0]) == len(files[1])
    shared = library(tmp_path, [tmp_path / "model.c"], "-O1")
    for seed, weights in enumerate(files):
        net = make(seed)
        X = inputs(net, F4, seed)
        times = {"times": np.arange(len(X))[None]} if make is fading else {}
        due = net.predict(cgru.Sequences(X[None], **times))[0]
        assert_equal(Exported(shared, "model", net, F4, weights).run(X), due, F4, 2e-2 if make is int8 else 2e-6)


def similar():
    """Pairs of models whose weights have the same sizes, and whose code differs."""
    for key, value in (("activate", "elu"), ("activate_reset", "tanh"), ("zoneout", 0.1), ("zoneout", 0.1 + 1e-7)):
        yield gru(4, F4, **{key: value})
    yield gru(4, F4, activate="elu", se_hPars={"ELU_alpha": 1.5})
    yield cgru.SwitchingGRU(2, 5, dtype=F4)
    for bound in (0.3, 0.3 + 1e-7):
        yield cgru.Clip(-1, bound), gru(4, F4)
    for eps in (1e-5, 1.00001e-5):
        yield cgru.LayerNorm(eps, dtype=F4), gru(4, F4)
    yield cgru.Scale(dtype=F4), gru(4, F4)
    for apart in (1, 2):
        yield cgru.Frames(2, 1, (apart, 0), apart), gru(4, F4)
    for how in ("mean", "max", "sum"):
        yield gru(4, F4), cgru.Pool(how)
    for kept in ([0, 1], [1, 0]):
        yield cgru.Select(kept), gru(4, F4)


def test_another_architecture_has_another_digest(tmp_path):
    found = [written(tmp_path, stacked(F4, *(x if isinstance(x, tuple) else (x,))))[2][16:32] for x in similar()]
    nets = trained(0), network(np.float32, (5, 4)), network(F8, (5, 4)), int8(0), cgru.quantize(trained(0), "bfloat16")
    found += [written(tmp_path, net)[2][16:32] for net in nets]
    assert len(set(found)) == len(found) > 20


# --- files that do not fit ---

OK, TOO_SHORT, MISALIGNED, FOREIGN, BYTE_ORDER, VERSION, OTHER_MODEL, CORRUPT = range(8)


def resealed(data, place, value):
    """The file with a word of its header replaced, and the checksum of that."""
    data = data[:place] + value + data[place + len(value) :]
    return data[:4] + zlib.crc32(data[8:]).to_bytes(4, "little") + data[8:]


@needs_cc
@pytest.mark.parametrize("dtype", [F4, F8])
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, dtype):
    net = stacked(dtype, gru(2, dtype, learn_h0=True), e=1, k=1)
    header, _, data = written(tmp_path, net)
    names = re.findall(r"\bMODEL_(\w+)[,\s]", header.decode().split("typedef enum {")[1].split("}")[0])
    assert names == ["OK", "TOO_SHORT", "MISALIGNED", "FOREIGN", "BYTE_ORDER", "VERSION", "OTHER_MODEL", "CORRUPT"]
    model = Exported(library(tmp_path, [tmp_path / "model.c"], "-O1"), "model", net, dtype, data)
    model.step(np.ones(1, dtype))
    kept = model.state.tobytes()

    def answer(data, offset=0):
        given = aligned(data, offset)
        return model._init(model._pointer(model.state), ctypes.c_void_p(given.ctypes.data), ctypes.c_size_t(len(given)))

    other = written(tmp_path, stacked(dtype, gru(2, dtype, learn_h0=True), e=2, k=1))[2]
    assert model._init(model._pointer(model.state), None, ctypes.c_size_t(0)) == TOO_SHORT
    for given, due in (
        (b"", TOO_SHORT),
        (data[:63], TOO_SHORT),
        (data[:64], TOO_SHORT),
        (data[:-1], TOO_SHORT),
        (bytes(len(data)), FOREIGN),
        (b"\x7fELF" + data[4:], FOREIGN),
        (data[3::-1] + data[4:], BYTE_ORDER),
        (resealed(data, 8, b"\2"), VERSION),
        (resealed(data, 12, b"\xff"), OTHER_MODEL),
        (resealed(data, 16, b"\0\0\0\0"), OTHER_MODEL),
        (other, OTHER_MODEL),
        (data[:-64] + bytes(64), CORRUPT),
    ):
        assert answer(given) == due, (given[:16], due)
    for offset in range(1, dtype.itemsize):
        assert answer(data, offset) == MISALIGNED
    for place in range(len(data)):
        for bit in (1, 128):
            changed = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            assert answer(changed), place
    assert model.state.tobytes() == kept
    for given, offset in ((data, 0), (data, dtype.itemsize), (data + b"more", 64)):
        assert answer(given, offset) == OK


EXCHANGE = """\
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "model.h"

static model_state voices[2];
static _Atomic(model_state *) next;
static atomic_int ran;

static model_error load(const char *path, model_state *state) {
    struct stat about;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &about)) return MODEL_FOREIGN;
    return model_init(state, mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, file, 0), (size_t)about.st_size);
}

static void *play(void *y) {
    model_state *voice = &voices[0], *given;
    const float x[MODEL_INPUTS] = {1};
    while (!(given = atomic_exchange(&next, NULL))) {
        model_step(voice, x, (float *)y);
        atomic_fetch_add(&ran, 1);
    }
    for (int t = 0; t < 3; t++) model_step(given, x, (float *)y);
    return NULL;
}

int main(int n, char **files) {
    pthread_t player;
    float y[MODEL_OUTPUTS];
    if (n != 4 || load(files[1], &voices[0])) return 1;
    pthread_create(&player, NULL, play, y);
    while (atomic_load(&ran) < 100) {}
    if (load(files[2], &voices[1]) != MODEL_OTHER_MODEL || load(files[3], &voices[1])) return 2;
    atomic_store(&next, &voices[1]);
    pthread_join(player, NULL);
    for (int i = 0; i < MODEL_OUTPUTS; i++) printf("%.9g ", (double)y[i]);
    return 0;
}
"""


@needs_cc
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="maps files as POSIX does")
@pytest.mark.parametrize("sanitizer", ["thread", "undefined,address"])
def test_a_thread_loads_weights_while_another_runs(tmp_path, sanitizer):
    """A mapped file, a state of its own, and one atomic pointer: no lock."""
    (tmp_path / "main.c").write_text(EXCHANGE)
    nets = network(F4, seed=0), network(F4, (16, 7)), network(F4, seed=1)
    for i, net in enumerate(nets):
        written(tmp_path, net)
        shutil.move(tmp_path / "model.weights", tmp_path / f"{i}.weights")
        if not i:
            shutil.copy(tmp_path / "model.c", tmp_path / "first.c")
            shutil.copy(tmp_path / "model.h", tmp_path / "first.h")
    assert (tmp_path / "first.c").read_bytes() == (tmp_path / "model.c").read_bytes()
    flags = "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-pthread", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"
    compile_c(CC, *flags, tmp_path / "main.c", tmp_path / "model.c", "-o", tmp_path / "run")
    files = [tmp_path / f"{i}.weights" for i in range(3)]
    done = subprocess.run([tmp_path / "run", *files], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    x = np.eye(1, 5, dtype=F4)
    assert_equal(np.array(done.stdout.split(), F4), nets[2].predict(np.tile(x, (1, 3, 1)))[0], F4)


# --- the three files ---


def test_files_are_written_whole_or_not_at_all(tmp_path):
    written(tmp_path, standardized(F4))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["model.c", "model.h", "model.weights"]
    with refuses(ValueError, "weights"):
        cgru.export_c(network(F4), tmp_path / "model.c", weights="disk")
    (tmp_path / "model.weights").chmod(0o444)
    with pytest.raises(PermissionError) as caught:
        written(tmp_path, network(F4))
    assert caught.value.filename.endswith(".weights")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
