"""The help texts: what plans may say of a fit, and examples that can be run."""

import re

import pytest
from cli_cases import run

from cgru.cli.arguments import REQUESTS, requested
from cgru.cli.help_text import EXAMPLES, PLAN_HELP
from cgru.network.options import OPTIONS, Trait


def test_the_options_of_a_fit_that_a_plan_may_have():
    told = PLAN_HELP.partition("as in Network.fit,\n\n")[2].partition("\n\n")[0]
    keys = re.findall(r"^  (\w+) ", told, re.MULTILINE)
    assert keys == [name for name, each in OPTIONS.items() if Trait.PLAN in each.traits]
    assert 0 < len(keys) < len(OPTIONS)


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
