import re

import numpy as np
import pytest
from cli_cases import NUMBER, QUICK, X, Y, run


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A folder with data.npz (a split, string classes), numbers.npz (a regression) and model.npz, fitted on data."""
    folder = tmp_path_factory.mktemp("toy")
    names = np.array(["no", "yes"])[Y]
    np.savez(folder / "data.npz", train_x=X[:30], train_y=names[:30], test_x=X[30:], test_y=names[30:])
    np.savez(folder / "numbers.npz", x=X, y=1000 + 50 * X.sum(axis=(1, 2)))
    run("fit", "data.npz", *QUICK, "-o", "model.npz", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def steps(tmp_path_factory):
    """A folder with data.npz, a class for each frame of ragged sequences, and model.npz, fitted on it."""
    folder = tmp_path_factory.mktemp("steps")
    lengths = np.arange(40) % 5 + 1
    names = np.array(["low", "high", "?"])[np.where(np.arange(5) < lengths[:, None], (X[:, :, 0] > 1).astype(int), 2)]
    np.savez(folder / "data.npz", x=X, y=names, lengths=lengths)
    real = np.arange(5) < lengths[:, None]
    np.savez(folder / "frames.npz", x=X[real], y=names[real], lengths=lengths)
    out, err = run("fit", "data.npz", *QUICK, "--dropout", "0.1", "-o", "model.npz", cwd=folder)
    assert "classes, one a step: " in err
    assert re.search(rf"training loss {NUMBER}, accuracy \d+\.\d\d% \(\d+ of {lengths.sum()}\)", out)
    return folder
