"""The project's own files agree with one another."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CORE = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = {
    "requirements.txt": [*CORE, *EXTRAS["train"], *EXTRAS["dev"]],
    "requirements-sim.txt": CORE,
    "requirements-uv.txt": PROJECT["dependency-groups"]["installer"],
}


def requirements(lock):
    """Return the name==version of each entry, and the file's text."""
    text = (ROOT / lock).read_text()
    return re.findall(r"^([a-z0-9][\w.-]*==\S+)", text, re.MULTILINE), text


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_what_pyproject_pins(lock):
    pinned, _ = requirements(lock)
    assert set(LOCKS[lock]) - set(pinned) == set(), "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_have_hashes_and_no_addresses(lock):
    pinned, text = requirements(lock)
    assert all(
        re.search(rf"^{re.escape(entry)}[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)
        for entry in pinned
    )
    assert not re.search(r"://|^--", text, re.MULTILINE)


def test_the_simulator_lock_has_no_tensorflow():
    pinned, _ = requirements("requirements-sim.txt")
    assert {entry for entry in pinned if entry.startswith(("tensorflow", "keras"))} == set()


def test_make_alone_lists_the_targets():
    listing = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in (
        "setup",
        "demo",
        "test",
        "check",
        "fmt",
        "lint",
        "type",
        "parity",
        "lock",
        "clean",
    ):
        assert f"make {target} " in listing
