"""What a fit tells of its epochs, and how that is shown."""

import dataclasses
import re

import pytest

from cgru import Epoch, History


def history(*losses, accuracy=None, validation=None, validation_accuracy=None):
    """A history with these losses, each epoch with the others' entry of its number."""
    columns = [column or [None] * len(losses) for column in (accuracy, validation, validation_accuracy)]
    return History(
        Epoch(i, len(losses), loss, *scores, learning_rate=0.1 / i, seconds=float(i))
        for i, (loss, *scores) in enumerate(zip(losses, *columns, strict=True), start=1)
    )


WHOLE = history(
    2.0, 1.0, 0.5, accuracy=[0.1, 0.5, 1.0], validation=[2.5, 0.75, 1.23456], validation_accuracy=[0.2, 0.875, 0.8]
)


def test_an_epoch_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        WHOLE[0].loss = 0


def test_columns():
    assert WHOLE.loss == [2.0, 1.0, 0.5]
    assert WHOLE.accuracy == [0.1, 0.5, 1.0]
    assert WHOLE.validation_loss == [2.5, 0.75, 1.23456]
    assert WHOLE.validation_accuracy == [0.2, 0.875, 0.8]
    assert WHOLE.learning_rate == [0.1, 0.05, 0.1 / 3]
    assert WHOLE.seconds == [1, 2, 3]
    assert History.loss.__doc__ == "`loss` of each epoch."


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (History(), "History(no epochs)"),
        (history(0.5), "History(1 epoch, loss 0.5 to 0.5)"),
        (history(2.0, 0.123456), "History(2 epochs, loss 2 to 0.1235)"),
        (history(2.0, 1.0, accuracy=[0.0, 0.75]), "History(2 epochs, loss 2 to 1, accuracy 0.0% to 75.0%)"),
        (
            history(2.0, 1.0, 1.0, validation=[3.0, 1.5, 1.5]),
            "History(3 epochs, loss 2 to 1, validation at best 1.5 in epoch 2)",
        ),
        (
            history(2.0, 1.0, validation=[None, 1.5]),
            "History(2 epochs, loss 2 to 1, validation at best 1.5 in epoch 2)",
        ),
        (
            WHOLE,
            "History(3 epochs, loss 2 to 0.5, accuracy 10.0% to 100.0%, validation at best 0.75, 87.5% in epoch 2)",
        ),
    ],
)
def test_at_a_prompt_it_is_one_line(shown, text):
    assert repr(shown) == text


def rows(shown):
    lines = re.findall("<tr>(.*?)</tr>", shown._repr_html_())
    return [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]


def test_in_a_notebook_it_is_a_small_table():
    assert rows(WHOLE) == [
        ["epoch", "loss", "accuracy", "validation loss", "validation accuracy"],
        ["1", "2", "10.0%", "2.5", "20.0%"],
        ["2", "1", "50.0%", "0.75", "87.5%"],
        ["3", "0.5", "100.0%", "1.235", "80.0%"],
    ]
    assert rows(history(2.0, 1.5, 1.0)) == [["epoch", "loss"], ["1", "2"], ["3", "1"]]
    assert rows(history(2.0, 1.5, validation=[None, 1.0])) == [
        ["epoch", "loss", "validation loss"],
        ["1", "2", ""],
        ["2", "1.5", "1"],
    ]
    assert rows(history(0.5)) == [["epoch", "loss"], ["1", "0.5"]]
    assert rows(History()) == [["epoch"]]
