"""A sweep whose study is in PostgreSQL: what a journal does on one machine, for many."""

import os
import pwd
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from optuna.trial import TrialState

from nas.search.driver import Budget
from nas.search.ledger import DEATHS, POINT, Outcome, tally
from nas.search.owners import this_process
from nas.search.storage import StudyPlace, close_storage, load_study, open_storage, opened
from nas.search.worker import Assignment, Worker
from tests.search_studies import (
    SETTINGS,
    StudyHere,
    assert_nothing_lost_nothing_twice,
    kill_at,
    sleeping,
    trivial,
)

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def as_postgres(*command):
    """Return `command`, run by the user postgres where we are root: initdb refuses root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else list(command)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL of our own on a socket, which ends with the tests; yields the URL's end."""
    if not PROGRAMS:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="no psycopg: the extra `distributed`")
    folder = Path("/tmp") / f"beatgate-postgres-{os.getpid()}"  # a socket's path must be short
    folder.mkdir(mode=0o755)
    try:
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        data, control = folder / "data", str(PROGRAMS[-1] / "pg_ctl")
        initdb = [str(PROGRAMS[-1] / "initdb"), "-D", str(data), "-U", "sweep", "-A", "trust"]
        subprocess.run(as_postgres(*initdb), check=True, capture_output=True, cwd=folder)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        start = [control, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start"]
        subprocess.run(as_postgres(*start), check=True, capture_output=True, cwd=folder)
        yield f"sweep@/postgres?host={folder}"
        stop = [control, "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(as_postgres(*stop), check=True, capture_output=True, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(server):
    return f"postgresql+psycopg://{server}"


@pytest.fixture
def sweep(url, tmp_path):
    here = StudyHere(tmp_path / tmp_path.name, url)
    yield here
    close_storage(here.storage)


def test_a_study_in_a_database_goes_on_from_another_folder(sweep, url, tmp_path):
    sweep.run(Budget(3), trivial)
    elsewhere = StudyHere(tmp_path / "elsewhere" / tmp_path.name, url)
    assert elsewhere.run(Budget(5), trivial) == {Outcome.DONE: 5}
    close_storage(elsewhere.storage)
    with opened(elsewhere.place) as storage:
        study, settings = load_study(elsewhere.place, storage)
        assert settings == SETTINGS
        assert study.metric_names == ["auroc", "flash_bytes"]


def test_a_worker_of_another_machine_that_gives_no_sign_of_life_is_dead(sweep):
    worker = Worker(Assignment(sweep.place, SETTINGS, trivial), (0,))
    elsewhere = this_process().to_json() | {"host": "another"}
    worker._owner = elsewhere
    worker.begin()
    worker.close()
    sweep.ledger.recover()
    assert tally(sweep.study) == {Outcome.RUNNING: 1}
    time.sleep(sweep.place.lost_after_s + 1)
    sweep.ledger.recover()
    assert tally(sweep.study) == {Outcome.WAITING: 1}
    assert [t.state for t in sweep.study.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert sweep.run(Budget(1), trivial) == {Outcome.DONE: 1}
    again = sweep.study.trials[1]
    assert (again.user_attrs[POINT], again.user_attrs[DEATHS]) == (0, 1)


def test_a_worker_that_takes_long_lives_by_its_heartbeat(sweep):
    long = sweep.place.lost_after_s + 2
    counts = sweep.run_processes(Budget(1), partial(sleeping, long))
    assert counts == {Outcome.DONE: 1}
    assert len(sweep.study.trials) == 1


def test_a_killed_workers_trial_is_tried_again(sweep):
    watch, due = kill_at(sweep, (3,))
    sweep.run_processes(Budget(8), partial(sleeping, 0.2), n_workers=2, watch=watch)
    assert due == []
    assert_nothing_lost_nothing_twice(sweep, 8)


@pytest.mark.slow
def test_a_thousand_trials_and_two_killed_workers(sweep):
    watch, due = kill_at(sweep, (250, 700))
    sweep.run_processes(Budget(1000), trivial, n_workers=4, watch=watch)
    assert due == []
    assert_nothing_lost_nothing_twice(sweep, 1000)


def test_a_database_that_is_not_there_is_told(tmp_path):
    pytest.importorskip("psycopg", reason="no psycopg: the extra `distributed`")
    place = StudyPlace(tmp_path / "study", "postgresql+psycopg://nobody@/nothing?host=/nowhere")
    with pytest.raises(ValueError, match="storage of study study in database must be reach"):
        open_storage(place)
