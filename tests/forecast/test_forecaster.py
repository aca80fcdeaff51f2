import copy
import json

import numpy as np
import pytest

import cgru
from cgru.forecast import Forecaster, forecaster, load
from cgru.forecast.forecaster import min_length
from cgru.forecast.linear import ridge

rng = np.random.default_rng(0)
t = np.arange(120)
SINE = 50 + 10 * np.sin(2 * np.pi * t / 12)
NOISY = SINE + 0.1 * t + rng.standard_normal(120)
QUICK = {"networks": 2, "epochs": 3, "units": 4}


@pytest.fixture(scope="module")
def noisy():
    return Forecaster(6, season=12, quantiles=(0.1, 0.9), **QUICK).fit(NOISY)


# --- series that are known by hand ---


def test_a_sine_goes_on():
    model = Forecaster(24, **QUICK).fit(SINE)
    assert (model.season_, model.width_) == (12, 24)
    due = 50 + 10 * np.sin(2 * np.pi * (120 + np.arange(24)) / 12)
    np.testing.assert_allclose(model.predict(SINE), due, atol=1e-2)
    np.testing.assert_allclose(model.baselines(SINE)["seasonal naive"], due, atol=1e-9)


@pytest.mark.parametrize("slope", [2.0, -3.0])
def test_a_line_goes_on_beyond_all_that_was_seen(slope):
    y = 1000 + slope * t
    model = Forecaster(5, networks=4).fit(y)
    assert (model.season_, model.width_) == (1, 12)
    due = 1000 + slope * (120 + np.arange(5))
    np.testing.assert_allclose(model.predict(y), due, atol=abs(slope))
    np.testing.assert_array_equal(model.baselines(y)["naive"], np.full(5, y[-1]))
    np.testing.assert_allclose(model.baselines(y)["linear"], due, atol=abs(slope))


@pytest.mark.parametrize("value", [0.0, 7.0, -1e9, 1e-30])
def test_a_constant_stays(value):
    model = Forecaster(4, **QUICK).fit(np.full(60, value))
    np.testing.assert_allclose(model.predict(np.full(60, value)), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("level", [0.0, 100.0, 1e9])
def test_what_repeats_itself_exactly_goes_on(level):
    """There is nothing to correct then; what networks say nevertheless was in units of the level."""
    y = level + t % 4
    model = Forecaster(4, season=4, quantiles=(0.1, 0.9), **QUICK).fit(y)
    np.testing.assert_allclose(model.predict(y), y[:4], atol=1e-3)
    np.testing.assert_allclose(model.predict_quantiles(y), y[:4, None] + [0.0, 0.0], atol=1e-3)


def test_after_a_step_the_new_level():
    y = np.repeat([10.0, 20.0], [80, 40])
    model = Forecaster(4, season=1, networks=4).fit(y)
    np.testing.assert_allclose(model.predict(y), 20, atol=0.5)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_the_unit_of_a_series_changes_nothing(unit):
    one = Forecaster(6, season=12, **QUICK).fit(NOISY).predict(NOISY)
    other = Forecaster(6, season=12, **QUICK).fit(unit * NOISY).predict(unit * NOISY)
    np.testing.assert_allclose(other / unit, one, rtol=1e-4)


def test_what_grows_with_the_level_grows_on():
    y = np.exp(0.01 * t) * (10 + 3 * np.sin(2 * np.pi * t / 12))
    due = np.exp(0.01 * (120 + np.arange(12))) * (10 + 3 * np.sin(2 * np.pi * (120 + np.arange(12)) / 12))
    model = Forecaster(12, networks=4).fit(y)
    assert np.abs(model.predict(y) - due).max() < np.abs(model.baselines(y)["seasonal naive"] - due).max() / 4


def test_windows_of_zeros_among_others():
    y = np.zeros(100)
    y[::25] = 3
    assert np.isfinite(Forecaster(3, season=1, **QUICK).fit(y).predict(y)).all()


# --- what is read ---


def test_a_network_reads_the_window_in_its_own_units():
    model = Forecaster(2, season=2, width=3, networks=2)
    y = np.arange(1.0, 21)
    even, odd = model.jobs(y, name=("at",))
    assert (even.name, odd.name) == (("at", 0), ("at", 1))
    first = np.array([-2, -1, 0]) / 2  # 1, 2, 3 of mean size 2
    found = even.samples.X * model.input_scale_ + model.input_mean_
    np.testing.assert_allclose(found[0, :, 0], first)
    assert found.shape == (16, 3, 1)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), model.input_mean_)
    target = even.samples.y * model.target_scale_[0] + model.target_mean_[0]
    np.testing.assert_allclose(target[0], [(4 - 2) / 2, (5 - 3) / 2])  # beside the last season
    weights, bias = model.linear_
    linear = even.samples.X[0].ravel() @ weights + bias
    target = odd.samples.y * model.target_scale_[1] + model.target_mean_[1]
    np.testing.assert_allclose(target[0], [(4 - 3) / 2, (5 - 3) / 2] - linear)
    np.testing.assert_allclose(even.samples.y.std(axis=0), 1)


def test_the_last_fifth_of_each_series_chooses_the_penalty(monkeypatch):
    seen = []
    monkeypatch.setattr(
        forecaster, "ridge", lambda Z, errors, held_out: seen.append(held_out) or ridge(Z, errors, held_out)
    )
    Forecaster(2, season=2, width=3, networks=1).jobs([np.arange(34.0), np.arange(7.0)])
    np.testing.assert_array_equal(seen[0], np.repeat([False, True, False, True], [24, 6, 2, 1]))


def test_a_window_of_small_values_is_read_in_a_tenth_of_the_unit_of_its_series():
    model = Forecaster(1, season=1, width=2, networks=1)
    y = np.r_[0, 0.001, np.full(18, 100.0)]
    (job,) = model.jobs(y)
    found = job.samples.X * model.input_scale_ + model.input_mean_
    np.testing.assert_allclose(found[0, :, 0], [-0.001 / (0.1 * y.mean()), 0])


def test_inputs_beside_a_series_are_read():
    x = rng.standard_normal(200)
    y = np.r_[0, 10 * x[:-1]] + 100  # tomorrow's value is known today
    X = np.column_stack([x, 1000 + np.arange(200)])
    model = Forecaster(1, season=1, networks=4).fit(y[:199], X[:199])
    assert abs(model.predict(y[:199], X[:199])[0] - y[199]) < 2
    assert abs(model.baselines(y[:199], X[:199])["linear"][0] - y[199]) < 0.5
    with pytest.raises(ValueError, match="X: expected 2 inputs a step, got 0"):
        model.predict(y)


def test_one_model_of_several_series():
    many = [NOISY, 1000 * NOISY[:90], NOISY[:20]]
    model = Forecaster(6, season=12, quantiles=(0.1, 0.9), **QUICK).fit(many)
    said = model.predict(many[:2])
    assert [each.shape for each in said] == [(6,), (6,)]
    np.testing.assert_allclose(said[0], model.predict(NOISY), rtol=1e-6)
    np.testing.assert_allclose(said[1], model.predict(1000 * NOISY[:90]), rtol=1e-6)
    assert model.width_ == 24
    assert [each.shape for each in model.predict_quantiles(many[:2])] == [(6, 2), (6, 2)]
    assert [each.shape for each in model.baselines(many[:2])["naive"]] == [(6,), (6,)]
    with pytest.raises(ValueError, match=r"y\[2\]: expected at least 24 values, got 20"):
        model.predict(many)
    jobs = Forecaster(6, season=12, **QUICK).jobs(many)
    assert len(jobs[0].samples.X) == (120 - 29) + (90 - 29)  # the third is too short to learn from
    jobs = Forecaster(6, season=12, **QUICK).jobs([NOISY, NOISY[:30]])
    assert len(jobs[0].samples.X) == (120 - 29) + 1


def test_too_little_to_forecast_from(noisy):
    with pytest.raises(ValueError, match=r"^y: expected at least 24 values, got 23"):
        noisy.predict(NOISY[:23])


def test_values_beyond_the_window_change_nothing_but_the_least_scale(noisy):
    np.testing.assert_array_equal(noisy.predict(NOISY), noisy.predict(NOISY[-24:].tolist()))


# --- quantiles ---


def test_quantiles_lie_around_the_median(noisy):
    said = noisy.predict_quantiles(NOISY)
    assert said.shape == (6, 2)
    middle = noisy.predict(NOISY)
    assert (said[:, 0] < middle).all()
    assert (middle < said[:, 1]).all()


def test_the_quantiles_asked_for_are_those_that_come():
    level = Forecaster(6, season=12, quantiles=[0.5], **QUICK).fit(NOISY)
    np.testing.assert_array_equal(level.predict_quantiles(NOISY)[:, 0], level.predict(NOISY))
    low = Forecaster(6, season=12, quantiles=(0.2,), **QUICK).fit(NOISY)
    assert (low.predict_quantiles(NOISY)[:, 0] < low.predict(NOISY)).all()
    with pytest.raises(ValueError, match="with quantiles, got None"):
        Forecaster(6, season=12, **QUICK).fit(NOISY).predict_quantiles(NOISY)


@pytest.mark.slow
def test_an_interval_holds_what_it_says():
    noise = np.random.default_rng(5).standard_normal(1200)
    model = Forecaster(4, season=1, quantiles=(0.1, 0.9)).fit(noise[:900])
    inside = []
    for i in range(900, 1196):
        low, high = model.predict_quantiles(noise[:i]).T
        inside.append((low <= noise[i : i + 4]) & (noise[i : i + 4] <= high))
    assert 0.7 < np.mean(inside) < 0.9


# --- how wide, how long ---


def test_a_short_series_has_narrow_windows():
    y = NOISY[: min_length(6, 12)]
    assert len(y) == 12 + 6 + 9
    assert Forecaster(6, season=12, **QUICK).fit(y).width_ == 12
    assert Forecaster(6, season=12, **QUICK).fit(NOISY[:30]).width_ == 15
    assert Forecaster(6, season=12, width=12, **QUICK).fit(NOISY).width_ == 12
    with pytest.raises(
        ValueError, match="y: expected at least 27 values for a season of 12 and a horizon of 6, got 26"
    ):
        Forecaster(6, season=12, **QUICK).fit(y[:-1])
    with pytest.raises(ValueError, match="at least 35 values"):
        Forecaster(6, season=12, width=20, **QUICK).fit(y)


def test_a_series_that_is_too_short_leaves_a_fit_alone():
    model = Forecaster(6, season=12, **QUICK).fit(NOISY)
    before = model.predict(NOISY)
    with pytest.raises(ValueError, match="y: expected at least 27 values"):
        model.fit(NOISY[:20])
    np.testing.assert_array_equal(model.predict(NOISY), before)


def test_a_width_below_the_season_that_is_found():
    with pytest.raises(ValueError, match="width: expected at least a season, 12, got 5"):
        Forecaster(6, width=5, **QUICK).fit(SINE)


# --- gaps ---


def test_gaps_are_refused_or_filled():
    y = NOISY.copy()
    y[[5, 60]] = np.nan
    with pytest.raises(ValueError, match="y: expected a value at each step, got none at 5"):
        Forecaster(6, season=12, **QUICK).fit(y)
    whole = y.copy()
    whole[[5, 60]] = (y[[4, 59]] + y[[6, 61]]) / 2
    one = Forecaster(6, season=12, missing="interpolate", **QUICK).fit(y)
    other = Forecaster(6, season=12, **QUICK).fit(whole)
    np.testing.assert_array_equal(one.predict(y), other.predict(whole))


# --- the same again ---


def test_a_seed_makes_the_same_bits_on_any_number_of_threads(noisy):
    again = Forecaster(6, season=12, quantiles=(0.1, 0.9), **QUICK).fit(NOISY, threads=3)
    np.testing.assert_array_equal(again.predict(NOISY), noisy.predict(NOISY))
    other = Forecaster(6, season=12, quantiles=(0.1, 0.9), seed=1, **QUICK).fit(NOISY)
    assert not np.array_equal(other.predict(NOISY), noisy.predict(NOISY))


def test_each_network_has_a_start_of_its_own():
    model = Forecaster(6, season=12, networks=4, epochs=1).fit(NOISY)
    firsts = {float(network.layers[0].p["Uz"][0, 0]) for network in model.networks_}
    assert len(firsts) == 4


def test_what_it_is_said_to_be():
    assert repr(Forecaster(3, season=2)) == "Forecaster(3, season=2, width=None, quantiles=())"
    model = Forecaster(3)
    assert (model.units, model.epochs, model.networks, model.seed, model.missing) == (16, 20, 8, 0, "refuse")


# --- its file ---


def test_a_file_forecasts_the_same_bits(noisy, tmp_path):
    noisy.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(NOISY), noisy.predict(NOISY))
    np.testing.assert_array_equal(loaded.predict_quantiles(NOISY), noisy.predict_quantiles(NOISY))
    np.testing.assert_array_equal(loaded.baselines(NOISY)["linear"], noisy.baselines(NOISY)["linear"])
    assert repr(loaded) == repr(noisy)
    assert (loaded.season_, loaded.width_) == (12, 24)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def changed(path, **arrays):
    with np.load(path) as file:
        kept = dict(file) | arrays
    np.savez(path, **{name: array for name, array in kept.items() if array is not None})


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"bias": None}, "expected the arrays"),
        ({"more": np.zeros(1)}, "expected the arrays"),
        ({"bias": np.zeros(7)}, "bias: expected float64"),
        ({"bias": np.zeros(6, np.float32)}, "bias: expected float64"),
        ({"input_mean": np.zeros(())}, "0.Uz: expected float32"),
        ({"input_mean": None}, "input_mean' is missing"),
        ({"0.Uz": np.zeros((2, 1, 5), np.float32)}, "0.Uz: expected float32"),
        ({"format": np.array(3)}, "newer than 2"),
        ({"forecaster": np.array("[]")}, "a JSON object of its settings"),
        ({"forecaster": np.array("{}")}, "a JSON object of its settings"),
        ({"forecaster": None}, "forecaster' is missing"),
    ],
)
def test_a_file_that_is_none(noisy, tmp_path, arrays, words):
    path = tmp_path / "m.npz"
    noisy.save(path)
    changed(path, **arrays)
    with pytest.raises(ValueError, match=f"m.npz is not a cgru forecaster: .*{words}"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("horizon", 0), ("season_", -1), ("width_", "x"), ("units", 1e9), ("networks", 3), ("missing", 1)],
)
def test_a_file_whose_settings_are_none(noisy, tmp_path, name, value):
    path = tmp_path / "m.npz"
    noisy.save(path)
    with np.load(path) as file:
        settings = json.loads(str(file["forecaster"]))
    changed(path, forecaster=np.array(json.dumps(settings | {name: value})))
    with pytest.raises(ValueError, match="is not a cgru forecaster"):
        load(path)


def test_another_file_of_cgru_is_no_forecaster(tmp_path):
    net = cgru.Network([cgru.GRU(2), cgru.Dense(1, "identity")], seed=0)
    net.predict(np.zeros((1, 2, 1)))
    net.save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"net.npz is not a cgru forecaster: it is a model, which cgru.load reads"):
        load(tmp_path / "net.npz")


def test_a_forecaster_is_no_network(noisy, tmp_path):
    noisy.save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"m.npz is not a cgru model: it is a forecaster, which cgru.forecast.load"):
        cgru.load(tmp_path / "m.npz")


# --- refusals ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"horizon": 0}, "horizon: "),
        ({"season": 0}, "season: "),
        ({"width": 0}, "width: "),
        ({"season": 12, "width": 11}, "width: expected at least a season of 12, got 11"),
        ({"quantiles": (0, 0.5)}, "quantiles: expected levels between 0 and 1, got 0"),
        ({"quantiles": (0.5, 1.0)}, "quantiles: expected levels between 0 and 1, got 1.0"),
        ({"quantiles": (0.9, 0.1)}, "quantiles: expected levels that rise"),
        ({"quantiles": (0.1, 0.1)}, "quantiles: expected levels that rise"),
        ({"quantiles": ("0.1",)}, "quantiles: "),
        ({"quantiles": (True,)}, "quantiles: "),
        ({"missing": "drop"}, "missing: expected 'refuse' or 'interpolate', got 'drop'"),
        ({"units": 0}, "units: "),
        ({"epochs": 0}, "epochs: "),
        ({"networks": 0}, "networks: "),
        ({"seed": -1}, "seed: expected an integer of at least 0, got -1"),
        ({"seed": 1.5}, "seed: "),
        ({"seed": True}, "seed: "),
    ],
)
def test_arguments_that_cannot_be(arguments, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Forecaster(**{"horizon": 3} | arguments)


def test_one_level_is_no_sequence_of_levels():
    with pytest.raises(TypeError, match=r"^quantiles: expected levels, such as \(0.1, 0.9\), got 0.5$"):
        Forecaster(3, quantiles=0.5)


@pytest.mark.parametrize(
    ("y", "X", "words"),
    [
        ([NOISY], None, None),
        (NOISY, np.zeros(120), r"X: expected shape \(n, e\)"),
        (NOISY, np.zeros((119, 1)), r"X: expected shape \(120, 1\), as its series, got \(119, 1\)"),
        ([NOISY, NOISY], [np.zeros((120, 1))], "X: expected inputs for each of 2 series, got 1"),
        ([NOISY, NOISY], [np.zeros((120, 1)), np.zeros((120, 2))], r"X\[1\]: expected shape \(120, 1\)"),
        (NOISY[:, None], None, r"y: expected shape \(n,\)"),
        ([NOISY, NOISY * np.inf], None, r"y\[1\]: expected numbers up to"),
        ([], None, r"y: expected shape \(n,\)"),
    ],
)
def test_what_is_no_data(y, X, words):
    model = Forecaster(6, season=12, **QUICK)
    if words is None:
        assert len(model.fit(y, X).predict(y)) == 1
        return
    with pytest.raises(ValueError, match=f"^{words}"):
        model.fit(y, X)


@pytest.mark.parametrize("some", [slice(None), slice(1, None)])
def test_quantised_networks_forecast_but_have_no_file(noisy, tmp_path, some):
    small = copy.copy(noisy)
    small.networks_ = list(noisy.networks_)
    small.networks_[some] = [cgru.quantize(network) for network in noisy.networks_[some]]
    np.testing.assert_allclose(small.predict(NOISY), noisy.predict(NOISY), atol=0.1)
    with pytest.raises(ValueError, match=r"^networks_: expected those of fit, in float32"):
        small.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_it_is_fitted_first(tmp_path):
    for call in (lambda model: model.predict(NOISY), lambda model: model.save(tmp_path / "m")):
        with pytest.raises(RuntimeError, match="fit"):
            call(Forecaster(6))
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_failed_is_none():
    model = Forecaster(6, season=12, **QUICK)
    jobs = model.jobs(NOISY)
    with pytest.raises(RuntimeError, match="boom"):
        model.take([cgru.Result(0, error=RuntimeError("boom")) for _ in jobs])
    with pytest.raises(RuntimeError, match="before predict"):
        model.predict(NOISY)


# --- inputs that are known in the future ---

PROMO = (np.random.default_rng(3).random(132) < 0.3).astype(float)[:, None]
SOLD = 100 + 5 * np.sin(2 * np.pi * np.arange(132) / 12) + 20 * PROMO[:, 0]


@pytest.fixture(scope="module")
def promoted():
    return Forecaster(12, season=12, width=12, quantiles=(0.1, 0.9), **QUICK).fit(SOLD[:120], known=PROMO[:120])


def test_what_is_known_beforehand_is_forecast(promoted):
    given = {"y": SOLD[:120], "known": PROMO}
    assert promoted.known_ == 1
    assert np.abs(promoted.predict(**given) - SOLD[120:]).max() < 4
    simple = promoted.baselines(**given)
    assert np.abs(simple["linear"] - SOLD[120:]).max() < 4
    np.testing.assert_array_equal(simple["seasonal naive"], SOLD[108:120])
    other = PROMO.copy()
    other[-1] = 1 - other[-1]
    for predict in (promoted.predict, promoted.predict_quantiles, lambda **rest: promoted.baselines(**rest)["linear"]):
        change = np.abs(predict(y=SOLD[:120], known=other) - predict(**given))
        assert (change.max(axis=tuple(range(1, change.ndim))).argmax(), change.max() > 10) == (11, True)


def test_windows_and_horizons_read_known_inputs():
    model = Forecaster(2, season=1, width=3, networks=2)
    known = np.column_stack([np.arange(40.0), np.arange(40) % 3])
    (even, _) = model.jobs(np.arange(1.0, 41), np.ones((40, 1)), known=known)
    found = even.samples.X * model.input_scale_ + model.input_mean_
    assert found.shape == (36, 3, 2 + 2 * 2)
    np.testing.assert_allclose(found[5, :, 2:4], known[5:8], atol=1e-12)
    np.testing.assert_allclose(found[5, :, 4:], known[[8, 9, 9]], atol=1e-12)  # the horizon, its last step again
    change = even.samples.y * model.target_scale_[0] + model.target_mean_[0]
    assert change.shape == (36, 2)


def test_the_effect_of_a_known_input_is_one_for_all_steps(promoted):
    np.testing.assert_allclose(promoted.effect_, 20 / SOLD[:120].mean(), rtol=0.05)
    in_other_units = Forecaster(12, season=12, width=12, **QUICK).fit(SOLD[:120], known=1000 * PROMO[:120])
    np.testing.assert_allclose(in_other_units.effect_, promoted.effect_ / 1000, rtol=1e-6)


def test_rows_of_the_horizon_are_not_read_by_a_fit(promoted):
    spoiled = PROMO.copy()
    spoiled[120:] = 7
    again = Forecaster(12, season=12, width=12, quantiles=(0.1, 0.9), **QUICK).fit(SOLD[:120], known=spoiled)
    np.testing.assert_array_equal(again.predict(SOLD[:120], known=PROMO), promoted.predict(SOLD[:120], known=PROMO))


def test_each_of_several_series_has_known_inputs():
    many, known = [SOLD[:120], SOLD[40:120]], [PROMO, PROMO[40:]]
    model = Forecaster(12, season=12, **QUICK).fit(many, known=known)
    one, other = model.predict(many, known=known)
    np.testing.assert_allclose(one, model.predict(many[0], known=PROMO), rtol=1e-6)
    np.testing.assert_allclose(other, model.predict(many[1], known=PROMO[40:]), rtol=1e-6)


def test_gaps_of_known_inputs_are_filled_but_in_the_horizon():
    known = PROMO.copy()
    known[50] = np.nan
    with pytest.raises(ValueError, match="known: expected a value at each step, got none at 50, 0; missing="):
        Forecaster(12, season=12, **QUICK).fit(SOLD[:120], known=known)
    model = Forecaster(12, season=12, missing="interpolate", **QUICK).fit(SOLD[:120], known=known)
    known[130] = np.nan
    with pytest.raises(ValueError, match="known: expected a value at each step of the horizon, got none at 130"):
        model.predict(SOLD[:120], known=known)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (None, "known: expected 1 inputs a step, as for fit, got 0"),
        (np.hstack([PROMO, PROMO]), "known: expected 1 inputs a step, as for fit, got 2"),
        (PROMO[:120], r"known: expected shape \(132, 1\), as its series and horizon, got \(120, 1\)"),
        (PROMO[:, 0], r"known: expected shape \(n, e\)"),
    ],
)
def test_known_inputs_that_do_not_fit(promoted, known, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        promoted.predict(SOLD[:120], known=known)


def test_known_inputs_of_a_fit_that_do_not_fit():
    model = Forecaster(12, season=12, **QUICK)
    with pytest.raises(ValueError, match=r"^known: expected shape \(120, 1\) or \(132, 1\), as its series and horizon"):
        model.fit(SOLD[:120], known=PROMO[:121])
    with pytest.raises(ValueError, match=r"^known: expected inputs for each of 2 series, got 1"):
        model.fit([SOLD, SOLD], known=[PROMO])
    with pytest.raises(ValueError, match=r"^known\[1\]: expected shape \(132, 1\) or \(144, 1\)"):
        model.fit([SOLD, SOLD], known=[PROMO, PROMO[1:]])


def test_a_file_keeps_known_inputs(promoted, noisy, tmp_path):
    promoted.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(SOLD[:120], known=PROMO), promoted.predict(SOLD[:120], known=PROMO))
    noisy.save(tmp_path / "old")  # as files were before
    formats = [int(np.load(tmp_path / name)["format"]) for name in ("m", "old")]
    assert formats == [2, 1]
    changed(tmp_path / "m", effect=np.zeros(2))
    with pytest.raises(ValueError, match=r"m.npz is not a cgru forecaster: effect: expected float64 \(1,\)"):
        load(tmp_path / "m.npz")
