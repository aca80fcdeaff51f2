"""`cgru many`: what it fits, what it prints, and what it refuses."""

import re

import numpy as np
import pytest
from cli_cases import NUMBER, X, Y, refused, run
from plan_cases import GROUPS, PLAN, lines, write

import cgru
from cgru.cli import many, task
from cgru.cli.results import job_key

NESTED = PLAN.replace("validation = 0.25", "folds = 3\ninner_folds = 2")


def own(setting, seed, X=X, y=Y, **options):
    """A network of the plan, fitted by hand."""
    layers = [cgru.GRU(setting["units"], sequences=True), cgru.Pool("last+mean+max"), cgru.Dense(2, "softmax")]
    adam = cgru.Adam(5e-3, clip_norm=1.0, schedule="one_cycle")
    net = cgru.Network(layers, optimizer=adam, seed=seed, dtype=np.float32)
    net.fit(X, y, epochs=3, batch_size=16, standardize=True, l1=setting["l1"], **options)
    return net


def test_fits_of_all_samples(folder):
    out, err = run("many", "plan.toml", "--threads", 2, cwd=folder)
    records = lines(folder)
    assert list(err.splitlines()) == [
        "plan.toml: 8 fits, 0 of them done in plan.jsonl",
        *(f"fit {i}/8" for i in range(1, 9)),
    ]
    head, *rows, empty, chosen = out.splitlines()
    assert head.split() == ["units", "l1", "fits", "failed", "folds", "validation_loss", "validation_accuracy"]
    assert [re.split(" {2,}", row)[:5] for row in rows] == [
        [units, l1, "2", "0", "1"] for units in "23" for l1 in ("0", "{'0.V*': 0.01}")
    ]
    best = min(records.values(), key=lambda record: record["scores"]["validation_loss"])
    assert empty == ""
    assert chosen.startswith(f"chosen: units={best['place']['units']} l1=")
    assert f" validation_loss {best['scores']['validation_loss']:.4g} +- 0, validation_accuracy " in chosen


def test_the_bits_are_those_of_fit(folder):
    run("many", "plan.toml", "-q", cwd=folder)
    for record in lines(folder).values():
        assert record["error"] is None
        assert record["scores"]["epochs"] == 3
        assert record["scores"]["validation_accuracy"] * 10 % 1 == 0
    write(folder, PLAN, ("validation = 0.25\nseeds = 2", ""), ("[2, 3]", "[3]"), ('[0, {"0.V*" = 0.01}]', "[0.02]"))
    run("many", "plan.toml", "-q", "--results", "all.jsonl", cwd=folder)
    (record,) = lines(folder, "all.jsonl").values()
    setting = record["place"]
    assert setting == {"units": 3, "l1": 0.02, "repeat": 0, "fold": 0, "inner": None, "seed": 0}
    due = own(setting, 0).history[-1]
    assert record["scores"] == {"epoch": 3, "loss": due.loss, "accuracy": due.accuracy, "epochs": 3}


def test_nested_folds(folder):
    write(folder, NESTED, ("seeds", 'groups = "subject"\nseeds'))
    out, _ = run("many", "plan.toml", "-q", cwd=folder)
    records = lines(folder)
    assert len(records) == 2 * 2 * 2 * 3 * 2
    grid = cgru.grid(
        lambda units, seed: cgru.Network(
            [cgru.GRU(units, sequences=True), cgru.Pool("last+mean+max"), cgru.Dense(2, "softmax")],
            optimizer=cgru.Adam(5e-3, clip_norm=1.0, schedule="one_cycle"), seed=seed, dtype=np.float32,
        ),
        X, Y, groups=GROUPS, folds=3, inner_folds=2, seeds=2, units=[2, 3], l1=[0.0, {"0.V*": 0.01}], epochs=3,
        batch_size=16, standardize=True,
    )  # fmt: skip
    for record in grid:
        assert records[record["name"]]["scores"] == record["scores"]
    *_, score = out.splitlines()
    due = grid.score()
    assert re.fullmatch(
        rf"honest score: test_loss {due['test_loss']:.4g} \+- {NUMBER}, test_accuracy .* \+- .*, over 3 folds", score
    )
    folds = [line for line in out.splitlines() if line.startswith("repeat 0, fold ")]
    for fold, choice in zip(folds, grid.chosen(), strict=True):
        assert fold.startswith(f"repeat 0, fold {choice['fold']}: units={choice['units']} l1=")
        assert f" test_loss {choice['test_loss']:.4g} +- " in fold


def test_groups_in_a_folder_of_arrays(folder):
    write(folder, NESTED, ("seeds", 'groups = "subject"\nseeds'))
    run("many", "plan.toml", "-q", cwd=folder)
    (folder / "arrays").mkdir()
    for name, array in (("x", X), ("y", np.array(["no", "yes"])[Y]), ("subject", GROUPS)):
        np.save(folder / "arrays" / name, array)
    write(folder, NESTED, ("seeds", 'groups = "subject"\nseeds'), ("data.npz", "arrays"))
    run("many", "plan.toml", "-q", "--results", "folder.jsonl", cwd=folder)
    assert lines(folder, "folder.jsonl") == lines(folder)
    (folder / "arrays" / "subject.npy").unlink()
    error = refused("many", "plan.toml", cwd=folder)
    assert "arrays: groups: expected one of the arrays x, y, got 'subject'" in error


def test_a_second_start_has_nothing_to_do(folder):
    out, _ = run("many", "plan.toml", cwd=folder)
    before = (folder / "plan.jsonl").read_bytes()
    again, err = run("many", "plan.toml", cwd=folder)
    assert again == out
    assert err == "plan.toml: 8 fits, 8 of them done in plan.jsonl\n"
    assert (folder / "plan.jsonl").read_bytes() == before


def test_a_plan_that_grows(folder):
    """Values, seeds and repeats are added, and keys change places: what is there stays."""
    two = NESTED.replace("units = [2, 3]", 'units = [2, 3]\npool = ["last", "max"]').replace(
        '[0, {"0.V*" = 0.01}]', "0"
    )
    write(folder, two)
    run("many", "plan.toml", "-q", cwd=folder)
    first = lines(folder)
    more = 'pool = ["last", "max"]\nunits = [4, 3]'
    write(folder, two, ('units = [2, 3]\npool = ["last", "max"]', more), ("seeds = 2", "seeds = 3\nrepeats = 2"))
    out, err = run("many", "plan.toml", cwd=folder)
    assert err.splitlines()[:2] == [
        "plan.toml: 144 fits, 24 of them done in plan.jsonl",
        "note: 24 more results there are of values that the plan no longer has",
    ]
    head, *rows = out.splitlines()
    assert head.split()[:5] == ["pool", "units", "fits", "failed", "folds"]
    assert all("  36    0       6  " in row for row in rows[:4])
    assert len(rows) == 4 + 1 + 6 + 1
    grown = lines(folder)
    assert grown.items() >= first.items()
    (folder / "plan.jsonl").unlink()
    anew, _ = run("many", "plan.toml", "-q", cwd=folder)
    assert anew == out
    scores = {job_key(record["place"]): record["scores"] for record in grown.values()}
    for record in lines(folder).values():
        assert record["scores"] == scores[job_key(record["place"])]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("epochs = 3", "epochs = 4")], "another plan: epochs was 3, is 4"),
        ([("dropout = 0\n\n", "dropout = 0.5\n\n")], "another plan: dropout was 0.0, is 0.5"),
        (
            [("units = [2, 3]", "units = 2")],
            'another plan: axes was ["l1", "units"], is ["l1"], units was none, is 2',
        ),
        ([("0.25", "0.5")], "another plan: validation was 0.25, is 0.5"),
        ([("seeds", 'groups = "subject"\nseeds')], "other data: groups has changed"),
        ([("data.npz", "numbers.npz")], "other data: y has changed, class_names has changed"),
    ],
)
def test_results_of_another_plan(folder, changes, words):
    run("many", "plan.toml", "-q", cwd=folder)
    before = (folder / "plan.jsonl").read_bytes()
    write(folder, PLAN, *changes)
    error = refused("many", "plan.toml", cwd=folder)
    assert error == f"cgru: error: plan.jsonl has the results of {words}; another --results FILE keeps both\n"
    assert (folder / "plan.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["x", "y", "lengths", "class_names"])
def test_data_that_has_changed(folder, name):
    arrays = {"x": X, "y": Y, "lengths": np.full(40, 5), "class_names": np.array(["a", "b"])}
    np.savez(folder / "data.npz", **arrays)
    run("many", "plan.toml", "-q", cwd=folder)
    np.savez_compressed(folder / "data.npz", **dict(reversed(arrays.items())))
    run("many", "plan.toml", "-q", cwd=folder)
    changed = arrays[name].copy()
    changed[3 if name != "class_names" else 0] = {"x": 0.5, "y": 0, "lengths": 4, "class_names": "c"}[name]
    np.savez(folder / "data.npz", **arrays | {name: changed})
    assert f"other data: {name} has changed; " in refused("many", "plan.toml", cwd=folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("units", "unit")], "plan.toml: [network] unit: expected one of units, "),
        ([('"data.npz"', '"none.npz"')], "none.npz: No such file"),
        ([('"data.npz"', '"plan.toml"')], "plan.toml: it is no .npz archive"),
        ([("validation = 0.25", "")], "plan.toml: validation: expected a share "),
        ([("validation = 0.25\nseeds = 2", ""), ("[2, 3]", "2")], "plan.toml: validation: expected a share "),
        (
            [("validation = 0.25", ""), ("[2, 3]", "2"), ('[0, {"0.V*" = 0.01}]', "0")],
            "plan.toml: validation: expected",
        ),
        ([("data.npz", "steps.npz"), ("units", 'pool = "max"\nunits')], "[network] pool: steps.npz has a ta"),
        ([("validation = 0.25", "folds = 3")], "plan.toml: inner_folds: expected some, or validation"),
        ([("validation", "folds = 3\ninner_folds = 3\nvalidation")], "plan.toml: validation: expected None beside"),
        ([("validation = 0.25", "folds = 50\ninner_folds = 3")], "plan.toml: folds: expected at most 40"),
        ([("seeds", 'groups = "who"\nseeds')], "data.npz: groups: expected one of the arrays x, y, "),
        ([("seeds", 'groups = "x"\nseeds')], "data.npz: groups: expected shape (40,), one for each sample, got"),
        ([("seeds", 'groups = "alone"\nseeds')], "plan.toml: validation: expected at least 2 groups"),
        ([("0.V*", "0.W")], "plan.toml: units=2 l1={'0.W': 0.01}: l1: expected keys that match"),
        ([("epochs = 3", "epochs = 3\ntruncate = 2")], "plan.toml: units=2 l1=0.0: truncate: expected layers"),
        ([("epochs = 3", "epochs = 3\nshrink = true")], "shrink: expected False "),
        ([("epochs = 3", "epochs = 3\nclass_weight = {maybe = 1}")], "class_weight: expected classes no, yes, "),
        ([("epochs = 3", "batch_size = [4, 8]")], "plan.toml: [fit] epochs: expected a number beside several of batch"),
        ([("dropout = 0\n\n", 'dropout = 0\nloss = "huber"\n\n')], "[network] loss: data.npz has classes, "),
        (
            [("dropout = 0\n\n", 'dropout = 0\nloss = "mse"\n\n')],
            "[network] loss: data.npz has classes, which are learned by cross-entropy, got mean_squared_error",
        ),
        ([("dropout = 0\n\n", 'optimizer = "sgd"\nweight_decay = 1\n')], "weight_decay: expected 0 with sgd, "),
        ([("data.npz", "steps.npz"), ("units", 'pool = ["max", "mean"]\nunits')], "[network] pool: steps.npz has a ta"),
    ],
)
def test_what_is_refused_before_any_fit(folder, monkeypatch, changes, words):
    monkeypatch.setattr(many, "fit_many", None)
    write(folder, PLAN, *changes)
    assert words in refused("many", "plan.toml", cwd=folder)
    assert not (folder / "plan.jsonl").exists()


def test_patience_needs_validation(folder):
    write(
        folder,
        PLAN,
        ("validation = 0.25\nseeds = 2", ""),
        ("[2, 3]", "3"),
        ('l1 = [0, {"0.V*" = 0.01}]', "patience = 2"),
    )
    assert "plan.toml: patience: expected a validation" in refused("many", "plan.toml", cwd=folder)
    write(folder, PLAN, ("epochs", "patience = 2\nepochs"))
    run("many", "plan.toml", "-q", cwd=folder)


def test_bad_numbers_in_the_data(folder):
    wrong = X.copy()
    wrong[3, 1] = np.nan
    np.savez(folder / "data.npz", x=wrong, y=Y)
    assert "cgru: error: data.npz: X: expected finite" in refused("many", "plan.toml", cwd=folder)


def test_advice_on_reading_is_told_as_keys_of_the_plan(folder):
    (folder / "data.csv").write_text("a,b,label\n" + "1,2,no\n,3,yes\n" * 20)
    text = PLAN.replace("data.npz", "data.csv")
    write(folder, text)
    assert "wide = true says that each row is a sequence of its own" in refused("many", "plan.toml", cwd=folder)
    write(folder, text, ("seeds", "wide = true\nlabel = 'label'\ncolumns = ['a', 'b']\nseeds"))
    assert 'missing = "forward" fills them' in refused("many", "plan.toml", cwd=folder)
    x = np.cumsum(np.random.default_rng(0).standard_normal((40, 3, 40)), axis=2)
    np.savez(folder / "data.npz", x=x, y=Y)
    note = (
        "note: x (40, 3, 40) has more features than steps, and looks like (m, e, s): 3 features in 40 steps; "
        'axes = "mes" takes it so, axes = "mse" says that it is right'
    )
    write(folder, PLAN)
    assert note in run("many", "plan.toml", cwd=folder)[1].splitlines()
    np.savez(folder / "data.npz", x=x[:, :1], y=Y)
    (folder / "plan.jsonl").unlink()
    write(folder, PLAN, ("seeds", "axes = 'mse'\nseeds"))
    err = run("many", "plan.toml", cwd=folder)[1]  # without the library's own warning
    assert "note" not in err
    assert "fit 8/8" in err


@pytest.mark.parametrize("results", ["data.npz", "plan.toml", "missing/file", ".", ""])
def test_results_where_there_can_be_none(folder, results):
    before = (folder / "data.npz").read_bytes(), (folder / "plan.toml").read_bytes()
    refused("many", "plan.toml", "--results", results, cwd=folder)
    assert before == ((folder / "data.npz").read_bytes(), (folder / "plan.toml").read_bytes())


def test_a_plan_elsewhere(folder, tmp_path_factory):
    """What it names lies beside it, but for --results."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    run("many", folder / "plan.toml", "-q", cwd=elsewhere)
    assert list(elsewhere.iterdir()) == []
    run("many", folder / "plan.toml", "-q", "--results", "here.jsonl", cwd=elsewhere)
    assert lines(elsewhere, "here.jsonl") == lines(folder)


@pytest.mark.parametrize("more", ["", 'loss = "huber"\n', 'loss = "poisson"\n', 'loss = "quantile(0.1,0.9)"\n'])
def test_regressions(folder, more):
    plan = 'data = "numbers.npz"\nfolds = 2\nvalidation = 0.2\n[fit]\nepochs = 2\n[network]\nunits = [2, 3]\n'
    (folder / "plan.toml").write_text(plan + more)
    run("many", "plan.toml", "-q", cwd=folder)
    losses = [abs(record["scores"]["validation_loss"]) for record in lines(folder).values()]
    assert (max(losses) < 100) == ("poisson" not in more)  # else they are in deviations


def test_classes_at_steps(folder):
    write(folder, PLAN, ("data.npz", "steps.npz"))
    out, _ = run("many", "plan.toml", "-q", cwd=folder)
    assert "chosen: units=" in out


def test_all_that_a_plan_can_say_of_networks(folder, monkeypatch):
    (folder / "plan.toml").write_text(
        'data = "data.npz"\n[network]\nunits = 3\nlayers = 2\nbidirectional = false\npool = "max"\ndropout = 0.25\n'
        "recurrent_dropout = 0.125\nzoneout = 0.0625\nreset_after = true\nlayer_norm = true\nlearn_h0 = true\n"
        'optimizer = "rmsprop"\nlearning_rate = 0.5\nschedule = "linear"\nweight_decay = 0.75\nclip_norm = 2\n'
        "float64 = true\n"
    )
    made = []

    def none(jobs, *_, **__):
        made.extend(jobs)
        return [cgru.Result(job.name, error=KeyboardInterrupt()) for job in jobs]

    monkeypatch.setattr(many, "fit_many", none)
    run("many", "plan.toml", code=130, cwd=folder)
    (job,) = made
    net = job.network()
    gru, dropout, second, *rest = net.layers
    for layer in (gru, second):
        assert (layer.d["u"], layer.sequences, layer.recurrent_dropout, layer.zoneout) == (3, True, 0.125, 0.0625)
        assert (layer.reset_after, layer.layer_norm, layer.learn_h0) == (True, True, True)
    assert dropout.rate == 0.25
    assert list(map(repr, rest))[:2] == ["Pool('max')", "Dropout(0.25)"]
    assert net.optimizer == cgru.RMSprop(0.5, schedule="linear", weight_decay=0.75, clip_norm=2.0)
    assert (net.dtype, net.class_names, net.seed) == (np.float64, ("no", "yes"), 0)
    assert (job.options["epochs"], job.options["batch_size"]) == cgru.recipe.budget(40)[::-1]
    assert (job.rows, job.validation_rows) == (None, None)


def test_the_pool_is_open_until_the_inputs_are_known(folder, monkeypatch):
    recipes = []
    monkeypatch.setattr(many, "choose_network", lambda _, recipe, *rest, **__: recipes.append(recipe))
    (folder / "plan.toml").write_text('data = "data.npz"\n[network]\nunits = 3\ninputs = "auto"\n')
    run("many", "plan.toml", "-q", code=2, cwd=folder)  # no network came of it
    assert [(recipe.pool, recipe.layers) for recipe in recipes] == [(None, None)]


def test_stochastic_gradient_descent(folder):
    write(folder, PLAN, ("dropout = 0\n\n", 'dropout = 0\noptimizer = ["sgd", "adam"]\n'))
    out, _ = run("many", "plan.toml", "-q", cwd=folder)
    assert "sgd" in out


def test_inputs_are_chosen_in_each_fit_from_what_it_trains_on(folder, monkeypatch):
    own, seen = task.choose, []

    def choose(make, recipe, X, y, **given):
        seen.append((recipe, X, given))
        return own(make, recipe, X, y, **given)

    monkeypatch.setattr(task, "choose", choose)
    network = '[network]\ninputs = ["raw", "auto", "difference+frames(2)"]\nbudget = 0.02\ncausal = true\n'
    write(
        folder,
        PLAN,
        ("[network]", network),
        ("seeds = 2", 'seeds = 1\ngroups = "subject"'),
        ("[2, 3]", "2"),
        ('[0, {"0.V*" = 0.01}]', "0.01"),
    )
    out, _ = run("many", "plan.toml", "-q", cwd=folder)
    assert "\ndifference+frames(2) " in out
    assert {recipe.inputs for recipe, _, _ in seen} == {"raw", "auto", "difference+frames(2)"}
    for recipe, samples, given in seen:
        assert not recipe.bidirectional
        assert (given["budget"], given["epochs"], given["recover"], given["standardize"]) == (0.02, 3, True, True)
        assert "patience" not in given
        assert len(samples) == len(given["groups"]) < len(X)
    assert all(record["error"] is None for record in lines(folder).values())
    write(folder, PLAN, ("[network]", '[network]\ninputs = "normalize"\ncausal = true\n'))
    assert "inputs: expected layers that run step by step" in refused("many", "plan.toml", cwd=folder)
    write(folder, PLAN, ("[network]", '[network]\ninputs = "patches"\n'))
    assert '[network] inputs: expected "raw" or some of' in refused("many", "plan.toml", cwd=folder)


# --- failures ---


@pytest.fixture
def failing(monkeypatch):
    """Fits fail where what is set here says so of a place."""
    wrong = [lambda place: False]
    fit_many = many.fit_many

    def some(jobs, *samples, **options):
        for job in jobs:
            if wrong[0](job.place):
                job.network = lambda: 1 / 0
        return fit_many(jobs, *samples, **options)

    monkeypatch.setattr(many, "fit_many", some)
    return wrong


def test_fits_that_failed(folder, failing):
    write(folder, NESTED)
    due, _ = run("many", "plan.toml", "-q", "--results", "due.jsonl", cwd=folder)
    failing[0] = lambda place: place["units"] == 3 and place["fold"] == 1
    out, err = run("many", "plan.toml", cwd=folder)
    assert err.splitlines()[-2] == "fit 48/48, 8 failed"
    note = "note: 8 of 48 fits failed, which --retry runs again; the first: units=3 l1="
    assert err.splitlines()[-1].startswith(note)
    assert err.endswith(": ZeroDivisionError: division by zero\n")
    assert "repeat 0, fold 1: units=2 " in out
    assert out.count("; not among 2 whose fits failed") == 1
    assert " 12    4       2 " in out
    failing[0] = lambda place: False
    assert run("many", "plan.toml", "-q", cwd=folder)[0] == out
    again, err = run("many", "plan.toml", "--retry", cwd=folder)
    assert err.startswith("plan.toml: 48 fits, 40 of them done in plan.jsonl\n")
    assert again == due


def test_a_fold_in_which_all_failed(folder, failing):
    write(folder, NESTED)
    failing[0] = lambda place: place["fold"] == 1
    out, _ = run("many", "plan.toml", cwd=folder)
    assert "\nrepeat 0, fold 1: of each setting a fit failed" in out
    assert "\nno honest score: repeat 0, fold 1: " in out


def test_nothing_but_failures(folder, failing):
    failing[0] = lambda place: True
    error = refused("many", "plan.toml", "-q", cwd=folder)
    assert error == (
        "cgru: error: all 8 fits failed, which --retry runs again; the first: units=2 l1=0.0 repeat=0 fold=0 seed=0: "
        "ZeroDivisionError: division by zero\n"
    )
