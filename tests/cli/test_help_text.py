"""The help texts have examples that can be run."""

import re

import pytest
from cli_cases import run

from cgru.cli.arguments import REQUESTS, requested
from cgru.cli.help_text import EXAMPLES


def test_every_subcommand_has_examples():
    assert EXAMPLES.keys() == REQUESTS.keys()


@pytest.mark.parametrize("command", REQUESTS)
def test_each_help_ends_with_examples_that_can_be_run(tmp_path, command):
    _, _, shown = run(command, "--help", cwd=tmp_path)[0].rpartition("\nexamples:\n")
    lines = [line.removeprefix("  ") for line in shown.splitlines()]
    assert lines == [line for pair in EXAMPLES[command] for line in (f"# {pair[0]}", pair[1])]
    for _, line in EXAMPLES[command]:
        words = re.search(r"\bcgru (.*?)(?:[|>)\"]|$)", line)[1]
        assert requested(words.split())[0] == command
