"""Plans: what a file says, and what is no plan."""

import os
import sys

import pytest

from cgru import recipe
from cgru.cli.arguments import RequestError
from cgru.cli.plan import FIT, NETWORK, read_plan


def plan(folder, text, name="plan.toml"):
    path = folder / name
    path.write_text(
        text if text.startswith("data") or "data =" in text else 'data = "d.npz"\n' + text, encoding="utf-8"
    )
    return read_plan(str(path))


def refused(folder, text):
    """Why this is no plan."""
    with pytest.raises(RequestError) as error:
        plan(folder, text)
    start = f"{folder / 'plan.toml'}: "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


WHOLE = """
data = "folder/d.npz"
results = "other.jsonl"
folds = 10
inner_folds = 9
repeats = 2
seeds = 3
groups = "subject"

[fit]
l2 = [0, 0.5, {"0.V*" = 1, "*.W" = 0.25}]
epochs = 5
class_weight = {no = 2, yes = 1}

[network]
units = [4, 8]
pool = "last"
loss = "mse"
learning_rate = 1
"""


def test_a_whole_plan(tmp_path):
    got = plan(tmp_path, WHOLE)
    assert got.path == str(tmp_path / "plan.toml")
    assert (got.data, got.results) == (str(tmp_path / "folder" / "d.npz"), str(tmp_path / "other.jsonl"))
    assert (got.folds, got.inner_folds, got.repeats, got.seeds) == (10, 9, 2, 3)
    assert (got.groups, got.validation) == ("subject", None)
    assert got.axes == {"units": [4, 8], "l2": [0.0, 0.5, {"0.V*": 1.0, "*.W": 0.25}]}
    assert list(map(type, got.axes["l2"])) == [float, float, dict]
    assert type(got.fixed["learning_rate"]) is float
    assert got.fixed | got.axes == {key: default for table in (NETWORK, FIT) for key, (default, _) in table.items()} | {
        "epochs": 5, "class_weight": {"no": 2.0, "yes": 1.0}, "pool": "last", "loss": "mean_squared_error",
        "learning_rate": 1.0, **got.axes,
    }  # fmt: skip
    assert not got.fixed.keys() & got.axes.keys()


def test_the_shortest_plan(tmp_path):
    got = plan(tmp_path, 'data = "d.npz"', "some.thing.toml")
    assert got.results == str(tmp_path / "some.thing.jsonl")
    assert (got.folds, got.inner_folds, got.repeats, got.seeds) == (None, None, 1, 1)
    assert got.axes == {}
    assert (got.fixed["units"], got.fixed["learning_rate"], got.fixed["l1"]) == (recipe.UNITS, recipe.LEARNING_RATE, 0)


def test_the_defaults(tmp_path):
    assert plan(tmp_path, "").fixed == {
        "units": recipe.UNITS, "layers": None, "bidirectional": True, "pool": None, "dropout": recipe.DROPOUT,
        "recurrent_dropout": recipe.RECURRENT_DROPOUT, "zoneout": 0.0, "reset_after": False, "layer_norm": False,
        "learn_h0": False, "inputs": "raw", "budget": 14.0, "causal": False,
        "loss": None, "optimizer": "adam", "learning_rate": recipe.LEARNING_RATE,
        "schedule": recipe.SCHEDULE, "weight_decay": recipe.WEIGHT_DECAY, "clip_norm": 1.0, "float64": False,
        "epochs": None, "batch_size": None, "patience": None, "truncate": None, "standardize": True,
        "standardize_targets": None, "shrink": False, "average": None, "shuffle": True, "bucket": False,
        "class_weight": None, "l1": 0.0, "l2": 0.0, "activity_l1": 0.0, "activity_l2": 0.0, "memory": None,
    }  # fmt: skip


def test_results_know_a_loss_that_is_not_told_by_its_name(tmp_path):
    assert plan(tmp_path, "").described() == plan(tmp_path, '[network]\nloss = "mse"').described()
    assert plan(tmp_path, "").described()["loss"] == recipe.LOSS


def test_names_of_things(tmp_path):
    text = '[network]\noptimizer = ["sgd", "rmsprop"]\nschedule = "cosine"\npool = ["max", "last+attention"]\n'
    got = plan(tmp_path, text + '[fit]\nclass_weight = "balanced"')
    assert got.axes == {"optimizer": ["sgd", "rmsprop"], "pool": ["max", "last+attention"]}
    assert (got.fixed["schedule"], got.fixed["class_weight"]) == ("cosine", "balanced")


def test_names_that_lead_elsewhere(tmp_path, monkeypatch):
    absolute = os.path.abspath(os.path.join(os.sep, "d.npz"))
    assert plan(tmp_path, f"data = '{absolute}'").data == absolute
    monkeypatch.chdir(tmp_path)
    assert read_plan("plan.toml").results == "plan.jsonl"


def test_keys_are_known_in_one_table():
    assert not NETWORK.keys() & FIT.keys()


def test_what_results_depend_on(tmp_path):
    """More values, seeds and repeats, and keys in another order, leave those that are there as they are."""
    due = plan(tmp_path, WHOLE).described()
    for old, new in (("[4, 8]", "[8, 16, 4]"), ("seeds = 3", "seeds = 5"), ("repeats = 2", "repeats = 3"),
                     ("other.", "another."), ("folder/", ""), ('"subject"', '"name"')):  # fmt: skip
        assert old in WHOLE
        assert plan(tmp_path, WHOLE.replace(old, new)).described() == due
    fit, network = WHOLE.index("[fit]"), WHOLE.index("[network]")
    assert plan(tmp_path, WHOLE[:fit] + WHOLE[network:] + WHOLE[fit:network]).described() == due
    for old, new in (
        ("[4, 8]", "4"),
        ("epochs = 5", "epochs = 6"),
        ("folds = 10", "folds = 9"),
        ('"last"', '"max"'),
        ("inner_folds = 9", ""),
        ('groups = "subject"', ""),
        ("seeds", "validation = 0.2\nseeds"),
    ):
        assert old in WHOLE
        assert plan(tmp_path, WHOLE.replace(old, new, 1)).described() != due


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("folds", "expected a TOML file: "),
        ("[network]\nunits = 1\nunits = 2", "expected a TOML file: "),
        ("fold = 3", "fold: expected one of data, results, folds, "),
        ("[networks]\nunits = 1", "[networks]: expected no tables but [network] and [fit]"),
        ("network = 3", "network: expected a table, [network], got 3"),
        ("fit = [1]", "fit: expected a table, [fit], got [1]"),
        ("[network]\nunit = 3", "[network] unit: expected one of units, layers, "),
        ("[network]\nepochs = 3", "[network] epochs: expected one of units, layers, "),
        ("[fit]\nepoch = 3", "[fit] epoch: expected one of epochs, batch_size, "),
        ("[fit]\nvalidation = 0.1", "[fit] validation: expected one of epochs, "),
        ("data = 3", "data: expected a string, got 3"),
        ('data = ""', "data: expected a string, got ''"),
        ('data = ["a"]', "data: expected a string, got ['a']"),
        ("folds = 1", "folds: expected at least 2, got 1"),
        ("folds = 2.5", "folds: expected an integer, got float"),
        ("folds = [2, 3]", "folds: expected an integer, got list"),
        ("folds = 3\ninner_folds = 0", "inner_folds: expected at least 1, got 0"),
        ("inner_folds = 3", "inner_folds: expected folds beside it, got none"),
        ('groups = "who"', "groups: expected folds or validation beside it, got neither"),
        ("repeats = 2", "repeats: expected 1 without folds, got 2"),
        ("seeds = 0", "seeds: expected at least 1, got 0"),
        ("seeds = true", "seeds: expected an integer, got bool"),
        ("validation = 1", "validation: expected a number above 0 and below 1, got 1"),
        ("validation = 0", "validation: expected a number above 0 and below 1, got 0"),
        ("[network]\nunits = []", "[network] units: expected 1 to 1000 values, got []"),
        ("[network]\nunits = [4, 8, 4]", "[network] units[2]: expected each value once, got 4 again"),
        ("[network]\nlearning_rate = [1, 1.0]", "[network] learning_rate[1]: expected each value once, got 1.0 again"),
        ("[network]\nunits = [4, 0]", "[network] units[1]: expected at least 1, got 0"),
        ("[network]\nunits = 4.0", "[network] units: expected an integer, got float"),
        ("[network]\nunits = [[4]]", "[network] units[0]: expected an integer, got list"),
        ("[network]\nlayers = 0", "[network] layers: expected at least 1, got 0"),
        ("[network]\nbidirectional = 1", "[network] bidirectional: expected True or False, got int"),
        ('[network]\npool = "min"', "[network] pool: expected one of mean, max, last"),
        ("[network]\npool = 3", "[network] pool: expected one of mean, max, last"),
        ("[network]\ndropout = 1", "[network] dropout: expected a number of at least 0 and below 1, got 1"),
        ("[network]\nrecurrent_dropout = -1", "[network] recurrent_dropout: expected a number of at least 0"),
        ("[network]\nzoneout = 1", "[network] zoneout: expected a number of at least 0 and below 1, got 1"),
        ('[network]\nlayer_norm = "no"', "[network] layer_norm: expected True or False, got str"),
        ("[network]\nloss = 1", "[network] loss: expected a string, got 1"),
        ('[network]\nloss = "mae"', "[network] loss: expected one of "),
        (
            '[network]\nloss = "binary_cross_entropy"',
            "[network] loss: expected one of a regression, or for classes a c",
        ),
        (
            '[network]\nloss = "cross_entropy(1)"',
            '[network] loss: expected "cross_entropy(smoothing)" with 0 <= sm',
        ),
        ('[network]\noptimizer = "adamw"', "[network] optimizer: expected one of sgd, adam, rmsprop, got 'adamw'"),
        ("[network]\nlearning_rate = 0", "[network] learning_rate: expected a number above 0"),
        ("[network]\nlearning_rate = nan", "[network] learning_rate: expected a number above 0"),
        ("[network]\nlearning_rate = 1979-05-27", "[network] learning_rate: expected a number, got date"),
        ('[network]\nschedule = "steps"', "[network] schedule: expected one of constant, "),
        ("[network]\nschedule = {a = 1}", "[network] schedule: expected one of constant, "),
        ("[network]\nweight_decay = -1", "[network] weight_decay: expected a number of at least 0"),
        ("[network]\nclip_norm = 0", "[network] clip_norm: expected a number above 0"),
        ("[fit]\nepochs = 0", "[fit] epochs: expected at least 1, got 0"),
        ("[fit]\npatience = 0", "[fit] patience: expected at least 1, got 0"),
        ("[fit]\ntruncate = 0.5", "[fit] truncate: expected an integer, got float"),
        ("[fit]\nstandardize = 0", "[fit] standardize: expected True or False, got int"),
        ('[fit]\nclass_weight = "even"', "[fit] class_weight: expected a dict, \"balanced\" or None, got 'even'"),
        ("[fit]\nclass_weight = {a = -1}", "[fit] class_weight['a']: expected a number of at least 0"),
        (
            '[network]\nloss = ["mse"]',
            "[network] loss: expected one value, so that losses can be compared, got [",
        ),
        ("[fit]\nshrink = [true, false]", "[fit] shrink: expected one value, so that"),
        ("[fit]\nl1 = -1", "[fit] l1: expected a number of at least 0"),
        ('[fit]\nl1 = [0, {"0.V*" = "a"}]', "[fit] l1[1]['0.V*']: expected a number, got str"),
        ("[fit]\nactivity_l2 = {a = 1}", "[fit] activity_l2: expected a number, got dict"),
        (f"[network]\nunits = {[*range(1, 1002)]}", "[network] units: expected 1 to 1000 values, got 1001"),
        ("folds = 3\nrepeats = 333334", "expected at most 1000000 fits, got 1000002 or more; several plans share them"),
        ("seeds = 1000001", "expected at most 1000000 fits, got 1000001 or more"),
        (
            f"[network]\nunits = {[*range(1, 1001)]}\nlayers = {[*range(1, 1001)]}\ndropout = [0.0, 0.5]",
            "expected at most 1000000 fits, got 2000000",
        ),
    ],
)
def test_what_is_no_plan(tmp_path, text, words):
    assert refused(tmp_path, text).startswith(words)


def test_a_plan_without_data(tmp_path):
    assert refused(tmp_path, 'results = "data = 3"') == "data: expected the name of a data file, got nothing"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_plan(str(tmp_path / "missing.toml"))
    path = tmp_path / "plan.toml"
    for content in (b"\xff\xfe", b"PK\x03\x04", b"a = " + b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(RequestError, match="expected a TOML file"):
            read_plan(str(path))


def test_a_python_without_toml(tmp_path, monkeypatch):
    (tmp_path / "plan.toml").write_text('data = "d.npz"')
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(RequestError, match="pip install tomli"):
        read_plan(str(tmp_path / "plan.toml"))
    monkeypatch.setitem(sys.modules, "tomli", pytest.importorskip("json"))  # anything else that has load
    with pytest.raises(RequestError, match="expected a TOML file"):
        read_plan(str(tmp_path / "plan.toml"))
