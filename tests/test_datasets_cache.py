import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.cache import cache_folder, open_signals, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (10, 2)
IDS = ["a", "b", "c"]
SIGNALS = np.arange(60, dtype=np.int16).reshape(3, *SHAPE)


def opened(folder, key="key", signals=SIGNALS, ids=IDS):
    """Open the cache; return it and how many signals had to be read for that."""
    n_read = 0

    def read_signals():
        nonlocal n_read
        for signal in signals:
            n_read += 1
            if isinstance(signal, BaseException) and not isinstance(signal, ValueError):
                raise signal
            yield signal

    return open_signals(folder, key, ids, SHAPE, read_signals, "test"), n_read


def test_the_second_time_nothing_is_read(tmp_path):
    first, n_first = opened(tmp_path)
    second, n_second = opened(tmp_path)
    assert (n_first, n_second) == (3, 0)
    assert first.rows == second.rows == {"a": 0, "b": 1, "c": 2}
    assert np.array_equal(second.adc_counts, SIGNALS)
    assert not second.adc_counts.flags.writeable


def test_another_key_builds_again(tmp_path):
    opened(tmp_path)
    cache, n_read = opened(tmp_path, key="newer", signals=SIGNALS + 1)
    assert n_read == 3
    assert np.array_equal(cache.adc_counts, SIGNALS + 1)


def test_a_bad_record_is_reported(tmp_path, caplog):
    signals = [SIGNALS[0], ValueError("b.dat: too short"), SIGNALS[2]]
    for _ in range(2):
        caplog.clear()
        cache, _ = opened(tmp_path, signals=signals)
        assert cache.rows == {"a": 0, "c": 2}
        assert cache.unreadable == {"b": "b.dat: too short"}
        assert "1 of 3 records are broken: b.dat: too short" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_build_leaves_no_cache(tmp_path, error):
    with pytest.raises(type(error)):
        opened(tmp_path, signals=[SIGNALS[0], error])
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert opened(tmp_path)[1] == 3


def test_an_interrupted_rebuild_keeps_the_old_cache(tmp_path):
    opened(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, key="newer", signals=[SIGNALS[0], KeyboardInterrupt()])
    assert opened(tmp_path)[1] == 0


def cut_short(folder):
    path = folder / "adc_counts.npy"
    path.write_bytes(path.read_bytes()[:-1])


def header_gone(folder):
    (folder / "adc_counts.npy").write_bytes(b"not an array at all")


def signals_emptied(folder):
    (folder / "adc_counts.npy").write_bytes(b"")


def signals_gone(folder):
    (folder / "adc_counts.npy").unlink()


def other_shape(folder):
    np.save(folder / "adc_counts.npy", SIGNALS[:2])


def index_cut_short(folder):
    path = folder / "index.json"
    path.write_bytes(path.read_bytes()[:-3])


def index_of_another_kind(folder):
    (folder / "index.json").write_text("[1, 2]")


SIGNAL_DAMAGE = (cut_short, header_gone, signals_emptied, signals_gone, other_shape)
INDEX_DAMAGE = (index_cut_short, index_of_another_kind)


@pytest.mark.parametrize("damage", [*SIGNAL_DAMAGE, *INDEX_DAMAGE])
def test_a_damaged_cache_is_built_again(tmp_path, caplog, damage):
    opened(tmp_path)
    damage(tmp_path)
    cache, n_read = opened(tmp_path)
    assert n_read == 3
    assert np.array_equal(cache.adc_counts, SIGNALS)
    assert ("is damaged" in caplog.text) == (damage in SIGNAL_DAMAGE)


def test_what_a_killed_build_left_behind_is_removed(tmp_path):
    (tmp_path / "adc_counts.npy.123.tmp").write_bytes(b"half")
    opened(tmp_path)
    assert not list(tmp_path.glob("*.tmp"))


def test_of_several_processes_one_builds(tmp_path):
    code = f"""
from pathlib import Path
import numpy as np, time
from datasets.cache import open_signals
folder = Path({str(tmp_path)!r})
def read_signals():
    with (folder / "builds").open("a") as file:
        file.write("x")
    time.sleep(0.2)
    yield np.ones((10, 2), np.int16)
cache = open_signals(folder, "key", ["a"], (10, 2), read_signals, "test")
assert cache.adc_counts.sum() == 20
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "builds").read_text() == "x"


def test_json_comes_back_under_its_key_only(tmp_path):
    path = tmp_path / "table.json"
    assert read_json(path, "key") is None
    write_json(path, "key", [1, "ä"])
    assert read_json(path, "key") == [1, "ä"]
    assert read_json(path, "other") is None


def test_where_a_cache_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    data = tmp_path / "data"
    data.mkdir()
    assert cache_folder("set", None, None) == tmp_path / "home/beatgate/set"
    assert cache_folder("set", None, tmp_path / "here") == tmp_path / "here/set"
    assert cache_folder("set", data, None) == data / ".beatgate/set"
    under = cache_folder("set", data, tmp_path / "here")
    assert under.parent == tmp_path / "here"
    assert under != cache_folder("set", tmp_path / "copy", tmp_path / "here")


def test_data_that_cannot_be_written_to_gets_its_cache_elsewhere(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / ".beatgate").write_text("a file where the folder should be")
    folder = cache_folder("set", tmp_path, None)
    assert folder.parent == tmp_path / "home/beatgate"
    assert str(folder) in caplog.text
