"""What every test can rely on: our own packages, real recordings and the toolchain if present."""

import importlib.util
import os
import shutil
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("datasets", "export", "firmware_sim", "nas")
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
REAL_DATA = {  # fixture -> a file of the folder in BEATGATE_DATA that it stands for
    "ptbxl_dir": "ptbxl/ptbxl_database.csv",
    "mitdb_dir": "mitdb/100.hea",
    "nstdb_dir": "nstdb/bw.hea",
    "butqdb_annotations": "butqdb-annotations/segment-class_lookup.json",
}
MARKER_OF_FIXTURE = {**dict.fromkeys(REAL_DATA, "data"), "toolchain": "toolchain"}

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config):
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise pytest.UsageError(f"package {package} is missing or has no __init__.py in {ROOT}")
        if Path(spec.origin).resolve().parent != ROOT / package:
            raise pytest.UsageError(
                f"package {package} must come from {ROOT}, got {spec.origin}: "
                "uninstall its namesake from this environment, or unset PYTHONSAFEPATH"
            )


def pytest_collection_modifyitems(items):
    for item in items:
        for fixture, marker in MARKER_OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def real_folder(fixture):
    """Return the folder of real recordings that `fixture` stands for; skip where it is absent."""
    data = os.environ.get("BEATGATE_DATA")
    if not data:
        pytest.skip(f"BEATGATE_DATA is not set: the folder that holds {REAL_DATA[fixture]}")
    file = Path(data) / REAL_DATA[fixture]
    if not file.is_file():
        pytest.skip(f"BEATGATE_DATA={data} holds no {REAL_DATA[fixture]}")
    return file.parent


@pytest.fixture(scope="session")
def ptbxl_dir():
    """The folder that holds ptbxl_database.csv."""
    return real_folder("ptbxl_dir")


@pytest.fixture(scope="session")
def mitdb_dir():
    """The folder that holds some of the MIT-BIH Arrhythmia Database's records."""
    return real_folder("mitdb_dir")


@pytest.fixture(scope="session")
def nstdb_dir():
    """The folder that holds some of the Noise Stress Test Database's noise."""
    return real_folder("nstdb_dir")


@pytest.fixture(scope="session")
def butqdb_annotations():
    """The folder that holds the grades of all BUT QDB records, as JSON."""
    return real_folder("butqdb_annotations")


@pytest.fixture(scope="session")
def toolchain():
    """Nothing but the certainty that the Arm compiler and QEMU are there."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not on PATH: {', '.join(missing)}")


def forbidden_skips(config):
    """Count the skips of this run that BEATGATE_FORBID_SKIPS turns into a failure."""
    if not os.environ.get("BEATGATE_FORBID_SKIPS"):
        return 0
    return len(config.pluginmanager.getplugin("terminalreporter").stats.get("skipped", ()))


def pytest_sessionfinish(session):
    if forbidden_skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if n_skips := forbidden_skips(config):
        terminalreporter.section("BEATGATE_FORBID_SKIPS", red=True)
        terminalreporter.line(f"{n_skips} skipped, listed above: this run must skip nothing")
