"""What the tests of `cgru many` share: a plan, and what becomes of it."""

import json

import numpy as np

PLAN = """
data = "data.npz"
validation = 0.25
seeds = 2

[network]
units = [2, 3]
bidirectional = false
recurrent_dropout = 0
dropout = 0

[fit]
epochs = 3
l1 = [0, {"0.V*" = 0.01}]
"""
GROUPS = np.arange(40) // 4


def write(folder, text, *changes):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "plan.toml").write_text(text)


def lines(folder, name="plan.jsonl"):
    """The results in a file, by their names, without the seconds that they took."""
    _, *found = map(json.loads, (folder / name).read_text().splitlines())
    assert all(record.pop("seconds") > 0 for record in found)
    records = {record["name"]: record for record in found}
    assert len(records) == len(found)
    return records
