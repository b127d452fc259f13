"""README, docs and `--help`: links lead somewhere, commands they show have the options shown."""

import importlib
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer

from tests.conftest import PACKAGES, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHOWN = re.compile(rf"\bpython -m ({'|'.join(PACKAGES)})\b(.*)")
NOT_AN_OPTION = re.compile(r"^-?\d")


@cache
def commands_of(package):
    """Return the commands of `python -m package` by name, as click has them."""
    return typer.main.get_command(importlib.import_module(f"{package}.__main__").app).commands


def shown_commands(page):
    """Yield (package, arguments) of every command line of ours, in a block or in the text."""
    text = page.read_text()
    spans = [span.replace("\n", " ") for span in INLINE.findall(FENCED.sub("", text))]
    blocks = [line for block in FENCED.findall(text) for line in block.splitlines()]
    for line in (*blocks, *spans):
        for package, rest in SHOWN.findall(line):
            yield package, shlex.split(rest, comments=True)


def wrong_with(package, arguments):
    """Return what a command line names that is not there; None where all is."""
    if not arguments:
        return None
    commands = commands_of(package)
    name, *others = arguments
    if name not in commands:
        return f"python -m {package} has no command {name}"
    known = {"--help", "-h", *(o for p in commands[name].params for o in p.opts)}
    options = [a.split("=")[0] for a in others if a.startswith("-") and not NOT_AN_OPTION.match(a)]
    absent = [option for option in options if option not in known]
    return f"python -m {package} {name} has no {', '.join(absent)}" if absent else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page):
    targets = [link for link in LINK.findall(page.read_text()) if not link.startswith("http")]
    absent = [link for link in targets if not (page.parent / link.partition("#")[0]).exists()]
    assert absent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_has_the_options_shown(page):
    assert [wrong for shown in shown_commands(page) if (wrong := wrong_with(*shown))] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_examples_in_help_are_of_their_command_and_have_its_options(package):
    for name, command in commands_of(package).items():
        examples = SHOWN.findall(command.help)
        assert examples, f"python -m {package} {name} --help must have examples"
        for shown_package, rest in examples:
            arguments = shlex.split(rest)
            assert (shown_package, arguments[0]) == (package, name)
            assert wrong_with(package, arguments) is None


def test_every_figure_is_shown_on_a_page():
    shown = {Path(link).name for page in PAGES for link in LINK.findall(page.read_text())}
    figures = {figure.name for figure in (ROOT / "docs" / "figures").iterdir()}
    assert figures <= shown


def test_a_wrong_command_is_noticed():
    assert wrong_with("datasets", ["fetch", "ptbxl", "--dest", "~/ptbxl"]) is None
    assert wrong_with("datasets", ["fetsh"]) == "python -m datasets has no command fetsh"
    assert wrong_with("nas", ["train", "--hide", "HYP", "--seed", "-1"]) == (
        "python -m nas train has no --hide"
    )
    assert list(shown_commands(ROOT / "docs" / "training.md")) != []
