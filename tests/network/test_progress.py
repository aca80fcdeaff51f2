"""The bar of a fit; what is seen of it is tested in tests/cli/test_fit_progress.py."""

import sys

from cgru.network import progress


def test_a_bar_where_there_is_no_stderr(monkeypatch):
    monkeypatch.setattr(progress, "tqdm_class", lambda: dict)
    monkeypatch.setattr(sys, "stderr", None)
    assert progress.create_bar(3)["dynamic_ncols"] is True
