"""`cgru many`, killed and interrupted: what is done stays."""

import json
import random
import signal
import time

import pytest
from cli_cases import ended, posix, refused, run, start
from plan_cases import PLAN, lines, write

import cgru
from cgru.cli import many
from cgru.cli.results import Results

LONG = PLAN.replace("seeds = 2", "seeds = 10").replace("epochs = 3", "epochs = 150")


def kills(folder, times, epochs):
    """How many lines there are after each kill, at a random moment; in the end all is as if there had been none."""
    write(folder, LONG, ("epochs = 150", f"epochs = {epochs}"))
    due, _ = ended(start("many", "plan.toml", "-q", "--results", "due.jsonl", cwd=folder))
    found, path, rng = [], folder / "plan.jsonl", random.Random(times)
    for i in range(times):
        process = start("many", "plan.toml", "--threads", 2, cwd=folder)
        if i % 4:
            process.stderr.readline()  # from here on it fits
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        process.communicate(timeout=60)
        found.append(path.read_bytes().count(b"\n") if path.exists() else 0)
    out, _ = ended(start("many", "plan.toml", "-q", cwd=folder))
    assert out == due
    assert lines(folder) == lines(folder, "due.jsonl")
    return found


@posix
@pytest.mark.slow
def test_kills(folder):
    found = kills(folder, 4, 400)
    assert found == sorted(found)
    assert 0 < found[1] < 41


@posix
@pytest.mark.slow
def test_interrupt(folder):
    write(folder, LONG, ("epochs = 150", "epochs = 800"))
    process = start("many", "plan.toml", "--threads", 2, cwd=folder)
    seen = process.stderr.readline() + process.stderr.readline()  # the second is of a tenth of all
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert seen.startswith("plan.toml: 40 fits, 0 of them done in plan.jsonl\nfit  4/40")
    done = len(lines(folder))
    assert 4 <= done < 40
    last = f"cgru: interrupted: {done} of 40 fits are done; the same command goes on from plan.jsonl\n"
    assert err.endswith(last)
    assert "Traceback" not in err
    assert "Warning" not in err
    again = start("many", "plan.toml", cwd=folder)
    assert again.stderr.readline() == f"plan.toml: 40 fits, {done} of them done in plan.jsonl\n"
    again.kill()
    again.communicate(timeout=60)


@pytest.mark.parametrize("returned", [True, False])
def test_results_that_come_with_an_interrupt(folder, monkeypatch, returned):
    """What `fit_many` returns and has not called back with is noted, too; a second Ctrl-C is no harm."""
    fit_many = many.fit_many

    def interrupted(jobs, *samples, callback, **options):
        found = fit_many(jobs, *samples, **options)
        callback(found[0])
        if not returned:
            raise KeyboardInterrupt
        stopped = [cgru.many.Result(job.name, error=KeyboardInterrupt()) for job in jobs[3:]]
        return found[:3] + stopped

    monkeypatch.setattr(many, "fit_many", interrupted)
    _, err = run("many", "plan.toml", "-q", code=130, cwd=folder)
    done = 3 if returned else 1
    assert err == f"cgru: interrupted: {done} of 8 fits are done; the same command goes on from plan.jsonl\n"
    assert len(lines(folder)) == done


@posix
def test_two_at_once(folder):
    run("many", "plan.toml", "-q", cwd=folder)
    header = json.loads((folder / "plan.jsonl").read_text().splitlines()[0])
    with Results(str(folder / "plan.jsonl"), header):
        assert "another command is writing to it" in refused("many", "plan.toml", cwd=folder)
    run("many", "plan.toml", "-q", cwd=folder)


def test_a_line_that_was_torn(folder):
    run("many", "plan.toml", "-q", cwd=folder)
    path, due = folder / "plan.jsonl", lines(folder)
    path.write_bytes(path.read_bytes()[:-30])
    _, err = run("many", "plan.toml", cwd=folder)
    assert err.startswith("plan.toml: 8 fits, 7 of them done")
    assert lines(folder) == due


def test_a_line_that_lacks_what_is_chosen_by(folder):
    run("many", "plan.toml", "-q", cwd=folder)
    path = folder / "plan.jsonl"
    header, first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, first.replace("validation_loss", "loss_of_validation"), *rest]))
    err = refused("many", "plan.toml", "-q", cwd=folder)
    assert "plan.jsonl: records: expected a validation_loss, for a choice, got none for" in err
