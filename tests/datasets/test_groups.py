"""Which samples belong together: a column of a table, an array of an `.npz`, a file of a folder."""

import csv

import numpy as np
import pytest

from cgru.datasets import read

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 5, 2))
Y = np.arange(12) % 2
WHO = np.repeat(["ann", "bob", "cay", "dan"], 3)


@pytest.fixture
def trials(tmp_path):
    """A long table, twelve trials of four subjects, whose numbers begin anew with each."""
    with open(tmp_path / "trials.csv", "w") as file:
        rows = csv.writer(file)
        rows.writerow(["subject", "trial", "site", "t", "a", "b", "label"])
        for i, x in enumerate(X):
            for t, step in enumerate(x):
                rows.writerow([WHO[i], i % 3, f"site {i // 6}", t, *step.round(3), Y[i]])
    return tmp_path / "trials.csv"


@pytest.fixture
def wide(tmp_path):
    with open(tmp_path / "wide.csv", "w") as file:
        rows = csv.writer(file)
        rows.writerow(["subject", "label", *(f"t{i}" for i in range(5))])
        rows.writerows([WHO[i], "xy"[Y[i]], *X[i, :, 0].round(3)] for i in range(12))
    return tmp_path / "wide.csv"


@pytest.mark.parametrize("name", ["subject", "site"])
def test_a_column_of_a_long_table(trials, name):
    data = read(trials, id=["subject", "trial"], groups=name, ignore=["site"])
    assert data.groups.tolist() == (WHO if name == "subject" else np.repeat(["site 0", "site 1"], 6)).tolist()
    assert data.feature_names == ("a", "b")
    assert read(trials, id=["subject", "trial"], ignore=["site"]).groups is None


def test_ids_begin_anew_in_each_group(trials):
    data = read(trials, groups="subject", ignore=["site"])
    assert data.groups.tolist() == WHO.tolist()
    assert 'subject with trial says which sequence a row belongs to (id=["subject", "trial"])' in data.notes


def test_a_column_of_a_wide_table(wide):
    data = read(wide, groups="subject")
    assert data.groups.tolist() == WHO.tolist()
    assert data.train.X.shape == (12, 5, 1)
    again = read(wide, **data.reading | {"label": ["label"]})
    assert again.groups.tolist() == WHO.tolist()
    assert again.notes == ()


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("kind", ["U", "S", int])
@pytest.mark.parametrize(("prefix", "name"), [("", "who"), ("train_", "who"), ("train_", "train_who")])
def test_an_array(tmp_path, folder, kind, prefix, name):
    due = np.unique(WHO, return_inverse=True)[1] if kind is int else WHO.astype(kind)
    arrays = {f"{prefix}x": X, f"{prefix}y": Y, name: due} | ({"test_x": X[:2], "test_y": Y[:2]} if prefix else {})
    path = tmp_path / "data.npz"
    if folder:
        path = tmp_path
        for key, array in arrays.items():
            np.save(tmp_path / key, array)
    else:
        np.savez(path, **arrays)
    data = read(path, groups="who")
    assert data.groups.tolist() == (due if kind is int else WHO).tolist()
    assert data.notes == ()
    assert read(path).groups is None


def test_another_file_needs_no_groups(tmp_path, trials, wide):
    """It is tested on, or has nothing to learn."""
    other = tmp_path / "other.csv"
    for path, roles in ((trials, {"id": "trial", "groups": "site"}), (wide, {"groups": "subject"})):
        lines = [line.split(",") for line in path.read_text().splitlines()]
        out = lines[0].index(roles["groups"])
        kept = [",".join(cell for i, cell in enumerate(line) if i != out) for line in lines]
        other.write_text("\n".join(kept[: 1 + 5 * 3]) + "\n")
        roles |= {"id": ["subject", "trial"]} if "id" in roles else {}
        data = read(path, test=other, **roles)
        assert data.groups is not None
        assert data.test.X.shape[1:] == data.train.X.shape[1:]
        assert read(other, targets=False, **roles).groups is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"groups": "who"}, "groups: expected one of the columns subject, trial, site, t, a, b, label, got 'who'"),
        (
            {"groups": "a", "ignore": ["site"]},
            "a: expected one value for each subject/trial, got another in line 3; a sequence belongs to",
        ),
        ({"groups": "site", "columns": ["a", "site"]}, "groups: expected each once"),
        ({"groups": ["subject", "site"]}, "groups: expected one name, got subject, site"),
    ],
)
def test_columns_that_are_no_groups(trials, given, words):
    with pytest.raises(ValueError, match=words):
        read(trials, id=["subject", "trial"], **given)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", "groups: expected one of the arrays x, y, who, class_names, got 'nobody'"),
        ("x", r"groups: expected shape \(12,\), one for each sample, got \(12, 5, 2\) of x"),
        ("class_names", r"groups: expected shape \(12,\), one for each sample, got \(2,\) of class_names"),
    ],
)
def test_arrays_that_are_no_groups(tmp_path, name, words):
    np.savez(tmp_path / "data.npz", x=X, y=Y, who=WHO, class_names=["a", "b"])
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "data.npz", groups=name)


def test_the_archive_has_no_groups(tmp_path):
    (tmp_path / "x.ts").write_text("@problemName x\n@classLabel true a b\n@data\n1,2:a\n2,3:b\n")
    with pytest.raises(ValueError, match="groups: expected nothing, since it says nothing of such a file, ts"):
        read(tmp_path / "x.ts", groups="subject")


def test_an_id_of_two_columns_that_comes_once_is_a_wide_table(tmp_path):
    lines = [f"{WHO[i]},{i % 3},{i % 5}.5,{i % 7}.5,{'xy'[Y[i]]}" for i in range(12)]
    (tmp_path / "once.csv").write_text("\n".join(["subject,trial,a,b,label", *lines]) + "\n")
    with pytest.raises(
        ValueError, match=r"subject/trial: expected a sequence of several rows for an id, got each once"
    ):
        read(tmp_path / "once.csv", groups="subject")
