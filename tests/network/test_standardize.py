"""What a fit is standardised by, and what it is validated with."""

import numpy as np
import pytest
from network_cases import LABELS, LENGTHS, RNG, E, M, S, X, made, padded

import cgru


def test_standardization_is_measured_on_the_real_training_frames():
    raw = X * [10, 0.1, 1] + [100, -3, 0]
    raw[:, :, 2] = 0.1  # never changes
    far = padded(raw, LENGTHS, 1e9)
    held_out = (raw[:5] + 1000, LABELS[:5], LENGTHS[:5])
    net = made()
    net.fit(far, LABELS, lengths=LENGTHS, epochs=1, standardize=True, validation=held_out)
    frames = np.concatenate([sample[:length] for sample, length in zip(raw, LENGTHS, strict=True)])
    np.testing.assert_allclose(net.mean, frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.scale, [*frames[:, :2].std(axis=0), 1], rtol=1e-12)

    plain = made()
    plain.fit(raw, LABELS, epochs=1)
    for theirs, ours in zip(plain.layers, net.layers, strict=True):
        for name, array in ours.p.items():
            theirs.p[name][...] = array
    due = plain.predict((raw - net.mean) / net.scale, LENGTHS)
    np.testing.assert_array_equal(net.predict(far, LENGTHS), due)
    assert net.evaluate(far, LABELS, LENGTHS)["loss"] == pytest.approx(-np.log(due[range(M), LABELS]).mean())


@pytest.mark.parametrize("where", ["arrays", "files", "batches"])
@pytest.mark.parametrize("by", ["sample", "step", "class"])
def test_a_sample_that_weighs_twice_counts_as_two_do(tmp_path, where, by):
    weights = 2.0 * (np.arange(M) % 3)
    wild, options = X.copy(), {"epochs": 1, "standardize": True}
    wild[weights == 0] = 1e5
    net = cgru.Network([cgru.GRU(2, sequences=by == "step"), cgru.Dense(3, "softmax")], seed=1)
    y, own = LABELS, weights
    if by == "step":
        y, own = np.repeat(LABELS[:, None], S, axis=1), np.repeat(weights[:, None], S, axis=1)
        own[:, 2] = 0
    if by == "class":  # LABELS are 0, 1, 2, 0, ...
        options |= {"class_weight": {0: 0, 1: 2, 2: 4}}
        own = None
    if where == "files":
        np.save(tmp_path / "X.npy", wild)
        net.fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y, lengths=LENGTHS, sample_weight=own, **options)
    elif where == "batches":
        parts = [np.arange(0, 9), np.arange(9, M)]
        net.fit([(wild[i], y[i], LENGTHS[i], None if own is None else own[i]) for i in parts], **options)
    else:
        net.fit(wild, y, lengths=LENGTHS, sample_weight=own, **options)
    times = np.repeat(weights.astype(int)[:, None] // 2, S, axis=1)
    times[:, 2] = 0 if by == "step" else times[:, 2]
    real = np.arange(S) < LENGTHS[:, None]
    frames = np.repeat(wild[real], times[real], axis=0)
    np.testing.assert_allclose(net.mean, frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.scale, frames.std(axis=0), rtol=1e-12)


def test_standardization_stays_once_measured():
    net = made()
    net.fit(X, LABELS, epochs=1, standardize=True)
    mean, scale = net.mean, net.scale
    for standardize in (False, True):
        net.fit(X + 5, LABELS, epochs=1, standardize=standardize)
        assert net.mean is mean
        assert net.scale is scale
    net.mean = net.scale = None
    net.fit(X + 5, LABELS, epochs=1, standardize=True)
    np.testing.assert_allclose(net.mean, mean + 5)


def test_large_offsets_keep_their_digits_in_float32():
    net = made(dtype=np.float32)
    net.fit(X + 1e6, LABELS, epochs=1, standardize=True)
    twin = made(dtype=np.float32)
    twin.fit(X, LABELS, epochs=1, standardize=True)
    np.testing.assert_allclose(net.predict(X + 1e6), twin.predict(X), atol=1e-5)


# --- validation and early stopping ---


def test_the_weights_with_the_lowest_validation_loss_are_kept():
    held_out = (X[:8] + RNG.standard_normal((8, S, E)), (LABELS[:8] + 1) % 3)  # learning makes it worse in the end
    net = made(optimizer=cgru.Adam(0.05))
    history = net.fit(X, LABELS, epochs=30, validation=held_out)
    assert len(history.validation_loss) == 30
    best = int(np.argmin(history.validation_loss))
    assert best < 29
    got = net.evaluate(*held_out)
    assert got["loss"] == pytest.approx(history.validation_loss[best], rel=1e-12)
    assert got["accuracy"] == history.validation_accuracy[best]

    patient = made(optimizer=cgru.Adam(0.05))
    stopped = patient.fit(X, LABELS, epochs=30, validation=held_out, patience=3)
    losses = stopped.validation_loss
    assert len(losses) < 30
    assert losses == history.validation_loss[: len(losses)]
    assert int(np.argmin(losses)) == len(losses) - 4
    assert patient.evaluate(*held_out)["loss"] == pytest.approx(min(losses), rel=1e-12)


def test_validation_takes_lengths_and_other_steps():
    net = made()
    held_out = (padded(X, LENGTHS, np.nan)[:, : LENGTHS[:9].max()][:9], LABELS[:9], LENGTHS[:9])
    history = net.fit(X, LABELS, lengths=LENGTHS, epochs=1, validation=held_out)
    due = net.evaluate(*held_out)
    assert (history.validation_loss, history.validation_accuracy) == ([due["loss"]], [due["accuracy"]])
