import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datasets import DATASETS
from datasets.__main__ import app as datasets_app
from datasets.command_line import App, CheckFailed, print_json
from datasets.progress import progress
from tests.ptbxl_folder import write_ptbxl

ROOT = Path(__file__).resolve().parents[1]

app = App("An app to test with.")

ERRORS = {
    "value": ValueError("x.csv: a must be 1,\n got 2"),
    "file": FileNotFoundError("x.dat: is absent"),
    "system": PermissionError(13, "Permission denied", "/x"),
    "module": ModuleNotFoundError("No module named 'keras'", name="keras"),
    "check": CheckFailed("3 of 1000 windows differ"),
    "bug": KeyError("a"),
    "interrupt": KeyboardInterrupt(),
}


@app.command()
def fail(kind: str) -> None:
    """Raise it.

    Examples
    --------
      python -m app fail value
      python -m app fail bug
    """
    raise ERRORS[kind]


def run(*arguments, app=app):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [
        ("value", 2, "error: x.csv: a must be 1, got 2\n"),
        ("file", 2, "error: x.dat: is absent\n"),
        ("system", 2, "error: /x: Permission denied\n"),
        ("module", 2, "error: this needs the Python package keras\n"),
        ("check", 1, "3 of 1000 windows differ\n"),
        ("bug", 70, "internal error: KeyError: 'a' (set BEATGATE_DEBUG=1 for the traceback)\n"),
        ("interrupt", 130, "interrupted\n"),
    ],
)
def test_an_exception_becomes_one_line_and_an_exit_code(kind, code, text):
    result = run("fail", kind)
    assert (result.exit_code, result.stderr, result.stdout) == (code, text, "")


@pytest.mark.parametrize("kind", ["value", "bug"])
def test_the_traceback_is_there_on_request(kind, monkeypatch):
    monkeypatch.setenv("BEATGATE_DEBUG", "1")
    assert "Traceback (most recent call last)" in run("fail", kind).stderr


def test_wrong_usage_exits_2():
    assert run("fail").exit_code == 2
    assert run("no-such-command").exit_code == 2


def test_help_keeps_the_lines_of_the_examples():
    result = run("fail", "--help")
    assert result.exit_code == 0
    assert "python -m app fail value  " in result.stdout
    assert "fail value python" not in result.stdout


def test_json_has_no_nan(capsys):
    print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"a": float("nan")})


def test_progress_is_silent_where_nobody_watches(capfd, monkeypatch):
    monkeypatch.setattr("datasets.progress.SHOW_AFTER_S", -1.0)
    with progress("Reading", total=2) as advance:
        advance()
        advance(note="loss 0.1")
    assert capfd.readouterr() == ("", "")


def test_list_names_every_data_set():
    result = run("list", "--json", app=datasets_app)
    cards = json.loads(result.stdout)["datasets"]
    assert [card["name"] for card in cards] == list(DATASETS)
    assert "CC BY 4.0" in run("list", app=datasets_app).stdout


def test_show_draws_a_self_contained_page(tmp_path):
    folder, out = write_ptbxl(tmp_path / "ptbxl"), tmp_path / "out" / "record.html"
    arguments = ("ptbxl", "1", "--data", str(folder), "--leads", "I,v2", "--out", str(out))
    result = run("show", *arguments, "--json", app=datasets_app)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["leads"] == ["I", "V2"]
    page = out.read_text()
    assert "ptbxl record 1" in page
    assert "<script src=" not in page


def test_show_says_what_is_wrong(tmp_path):
    out = str(tmp_path / "record.html")
    result = run("show", "ptbxl", "1", "--data", str(tmp_path), "--out", out, app=datasets_app)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path}/ptbxl_database.csv: must be there")


def test_importing_datasets_loads_nothing_heavy():
    heavy = (
        "wfdb",
        "pandas",
        "neurokit2",
        "matplotlib",
        "scipy",
        "bokeh",
        "typer",
        "rich",
        "keras",
    )
    code = f"import sys, datasets; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
