"""The machinery of a sweep, with an objective that takes no time: nothing lost, nothing twice."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from optuna.trial import TrialState

from nas.search import local
from nas.search.driver import Budget, SweepError
from nas.search.journal import Journal, JournalError
from nas.search.ledger import (
    DEATHS,
    FAILURE,
    OWNER,
    POINT,
    Kind,
    Outcome,
    tally,
)
from nas.search.owners import Owner, this_process
from nas.search.storage import StudyPlace, load_study, open_storage, open_study
from tests.search_studies import (
    SETTINGS,
    StudyHere,
    assert_nothing_lost_nothing_twice,
    kill_at,
    sleeping,
    trivial,
)

ROOT = Path(__file__).resolve().parents[1]


def failing():
    def evaluate(trial):
        raise ArithmeticError("no such luck")

    return evaluate


def killing():
    """Kill the worker in the second point, whoever has it."""

    def evaluate(trial):
        x = trial.suggest_float("x", 0, 1)
        if trial.user_attrs.get(POINT, trial.number) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x, 1 - x

    return evaluate


def refusing():
    raise ValueError("the windows must be there, they are not")


@pytest.fixture
def sweep(tmp_path):
    return StudyHere(tmp_path / "study")


def test_a_sweep_settles_as_many_points_as_asked_for(sweep):
    assert sweep.run(Budget(7), trivial, n_workers=2) == {Outcome.DONE: 7}
    for trial in sweep.study.trials:
        x = trial.params["x"]
        assert trial.values == [x, (1 - x) ** 2]


def test_the_same_command_goes_on(sweep, tmp_path):
    sweep.run(Budget(3), trivial)
    again = StudyHere(tmp_path / "study")
    assert again.run(Budget(5), trivial) == {Outcome.DONE: 5}
    assert len({trial.params["x"] for trial in again.study.trials}) == 5
    assert again.run(Budget(5), trivial) == {Outcome.DONE: 5}


def test_a_killed_workers_trial_is_tried_again(sweep):
    watch, due = kill_at(sweep, (3, 9))
    sweep.run_processes(Budget(14), partial(sleeping, 0.1), n_workers=2, watch=watch)
    assert due == []
    failed = assert_nothing_lost_nothing_twice(sweep, 14)
    assert len(failed) >= 1  # one killed between two trials had none to lose
    for trial in failed:
        assert trial.user_attrs[FAILURE]["kind"] == Kind.DIED
        (again,) = [t for t in sweep.study.trials if t.user_attrs.get(POINT) == trial.number]
        assert again.user_attrs[DEATHS] == 1
        assert trial.params.items() <= again.params.items()


@pytest.mark.slow
def test_a_thousand_trials_and_two_killed_workers(sweep):
    watch, due = kill_at(sweep, (250, 700))
    sweep.run_processes(Budget(1000), trivial, n_workers=4, watch=watch)
    assert due == []
    assert_nothing_lost_nothing_twice(sweep, 1000)


def test_a_point_that_kills_every_worker_is_given_up(sweep):
    counts = sweep.run_processes(Budget(3), killing)
    assert counts == {Outcome.DONE: 2, Outcome.FAILED: 1}
    failed = [t for t in sweep.study.trials if FAILURE in t.user_attrs]
    assert [t.user_attrs[FAILURE]["kind"] for t in failed] == [Kind.DIED, Kind.DIED]
    assert "died" in failed[-1].user_attrs[FAILURE]["text"]


def test_a_failed_evaluation_fails_its_trial_with_the_traceback(sweep):
    counts = sweep.run(Budget(2), failing)
    assert counts == {Outcome.FAILED: 2}
    failure = sweep.study.trials[0].user_attrs[FAILURE]
    assert failure["kind"] == Kind.ERROR
    assert "raise ArithmeticError" in failure["text"]


def test_a_sweep_whose_trials_do_nothing_but_fail_ends(sweep):
    with pytest.raises(SweepError, match=r"10 trials in a row failed.*no such luck"):
        sweep.run(Budget(100), failing)
    assert len(sweep.study.trials) == 10


def test_a_worker_that_cannot_start_ends_the_sweep_and_says_why(sweep):
    with pytest.raises(SweepError, match="the windows must be there"):
        sweep.run_processes(Budget(3), refusing)
    assert sweep.study.trials == []


def test_a_budget_in_seconds_begins_nothing_after_them(sweep):
    counts = sweep.run(Budget(10_000, seconds=0.5), partial(sleeping, 0.2))
    assert set(counts) == {Outcome.DONE}
    assert counts[Outcome.DONE] <= 3


def test_other_settings_are_refused_by_name(sweep):
    other = replace(SETTINGS, seed=1, macs_max=5)
    with pytest.raises(ValueError, match="seed was 0 and is 1, macs_max was 10000000 and is 5"):
        open_study(sweep.place, other, sweep.storage)


def test_settings_come_back_from_the_study(sweep):
    _, settings = load_study(sweep.place, sweep.storage)
    assert settings == SETTINGS


def dead_owner():
    """Return a process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner.of(process.pid)
    process.communicate(b"\n")
    return owner


def running_trial(sweep, owner):
    trial = sweep.study.ask()
    trial.suggest_float("x", 0, 1)
    if owner is not None:
        trial.set_user_attr(OWNER, owner.to_json())
    return trial


def test_a_process_is_alive_until_it_ends():
    assert this_process().is_alive
    assert not dead_owner().is_alive
    assert not replace(this_process(), started="1").is_alive  # its number, but another process
    assert not replace(this_process(), boot_id="before").is_here


def test_what_a_whole_killed_sweep_left_running_is_tried_once_more(sweep):
    died = running_trial(sweep, dead_owner())
    elsewhere = running_trial(sweep, replace(this_process(), host="another"))
    alive = running_trial(sweep, this_process())
    sweep.ledger.recover()
    trials = sweep.study.trials
    assert [t.state.name for t in trials] == ["FAIL", "FAIL", "RUNNING", "WAITING", "WAITING"]
    assert [t.user_attrs[POINT] for t in trials[3:]] == [died.number, elsewhere.number]
    assert trials[alive.number].state == TrialState.RUNNING
    again = sweep.study.ask()
    assert again.suggest_float("x", 0, 1) == died.params["x"]


def test_a_trial_that_nobody_claimed_is_lost_after_a_while(sweep):
    trial = running_trial(sweep, None)
    sweep.ledger.recover()
    assert sweep.ledger.has_orphans()
    time.sleep(sweep.place.lost_after_s)
    sweep.ledger.recover()
    assert sweep.study.trials[trial.number].state == TrialState.FAIL
    assert tally(sweep.study) == {Outcome.WAITING: 1}


def test_a_lost_trial_that_was_not_queued_again_is_found_at_the_next_start(sweep):
    trial = running_trial(sweep, dead_owner())
    trial.set_user_attr(FAILURE, {"kind": Kind.DIED, "text": "its process died"})
    sweep.study.tell(trial.number, state=TrialState.FAIL)
    assert tally(sweep.study) == {Outcome.WAITING: 1}
    for _ in range(2):
        sweep.ledger.recover(everything=True)
        assert [t.state.name for t in sweep.study.trials] == ["FAIL", "WAITING"]


def test_stopped_on_purpose_a_trial_keeps_its_right_to_a_retry(sweep):
    for _ in range(3):
        running_trial(sweep, dead := dead_owner())
        sweep.ledger.interrupt(dead)
    assert tally(sweep.study) == {Outcome.WAITING: 1}
    assert [t.user_attrs.get(DEATHS, 0) for t in sweep.study.trials] == [0, 0, 0, 0]
    for _ in range(2):
        running_trial(sweep, dead_owner())
        sweep.ledger.recover()
    assert tally(sweep.study) == {Outcome.FAILED: 1}


def test_half_a_line_of_a_killed_writer_is_cut_off(tmp_path):
    journal = Journal(tmp_path / "journal.log")
    journal.append_logs([{"op": 1}, {"op": 2}])
    with open(tmp_path / "journal.log", "a") as file:
        file.write('{"op": 3, "x')
    assert [log["op"] for log in journal.read_logs(0)] == [1, 2]
    journal.append_logs([{"op": 4}])
    assert [log["op"] for log in Journal(tmp_path / "journal.log").read_logs(0)] == [1, 2, 4]


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path):
    code = f"""
import resource, signal
from pathlib import Path
from nas.search.journal import Journal, JournalError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal(Path({str(tmp_path / "journal.log")!r}))
try:
    while True:
        journal.append_logs([{{"op": "x" * 90}}] * 3)
except JournalError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path / 'journal.log'} must be written, got: File too large\n"
    logs = list(Journal(tmp_path / "journal.log").read_logs(0))
    assert len(logs) == 9


def test_a_lock_that_is_not_freed_is_told(tmp_path):
    journal = Journal(tmp_path / "journal.log", lock_wait_s=0.1)
    with open(tmp_path / "journal.log.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(JournalError, match=r"journal.log must be free .* within 0.1 s"):
            journal.append_logs([{"op": 1}])
    journal.append_logs([{"op": 1}])


def test_a_damaged_journal_is_refused(tmp_path):
    (tmp_path / "journal.log").write_text("no journal\n{}\n")
    with pytest.raises(ValueError, match="must be the journal of a study"):
        open_storage(StudyPlace(tmp_path))


def test_a_worker_is_renewed_after_some_trials_and_loses_none(sweep, monkeypatch):
    monkeypatch.setattr(local, "RENEWED_AFTER", 3)
    assert sweep.run_processes(Budget(7), trivial) == {Outcome.DONE: 7}
    pids = [trial.user_attrs[OWNER]["pid"] for trial in sweep.study.trials]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
