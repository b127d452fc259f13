"""The rules of the house that a machine can check: imports, sizes, no heap in the firmware."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = {"tensorflow", "keras", "optuna"}
MUST_NOT_IMPORT = {
    "datasets": {"export", "nas", "firmware_sim"} | FRAMEWORKS,
    "export": {"nas", "firmware_sim"} | FRAMEWORKS,
    "nas": {"firmware_sim"},
    "firmware_sim": {"nas", "export.quantize"} | FRAMEWORKS,
}
ALLOWED = {"export/quantize.py": {"tensorflow", "keras"}}
LINES_MAX = 500
FUNCTION_LINES_MAX = 70


def files(*patterns, below=(*MUST_NOT_IMPORT, "tests")):
    """List our files as paths from the root, which read well as test ids."""
    found = (
        path
        for folder in below
        for pattern in patterns
        for path in ROOT.glob(f"{folder}/**/{pattern}")
    )
    return sorted(str(path.relative_to(ROOT)) for path in found)


def imported(source, file):
    """Yield the dotted name of everything `source` imports, as if it stood in `file`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folders = Path(file).parts[: -node.level] if node.level else ()
            module = [*folders, node.module] if node.module else folders
            yield from (".".join([*module, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))


def broken_imports(source, file):
    """List what `source` must not import where it stands."""
    banned = MUST_NOT_IMPORT[Path(file).parts[0]] - ALLOWED.get(file, set())
    return [
        name
        for name in imported(source, file)
        if any(f"{name}.".startswith(f"{b}.") for b in banned)
    ]


@pytest.mark.parametrize("file", files("*.py", below=MUST_NOT_IMPORT))
def test_imports_go_one_way(file):
    assert broken_imports((ROOT / file).read_text(), file) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("datasets/ptbxl.py", "from export import bundle"),
        ("datasets/__init__.py", "def load():\n    import keras.layers"),
        ("export/bundle.py", "from nas.train import fit"),
        ("export/bundle.py", "import tensorflow as tf"),
        ("nas/train.py", "import firmware_sim"),
        ("firmware_sim/replay.py", "from export.quantize import quantize"),
        ("firmware_sim/replay.py", "from export import quantize"),
        ("firmware_sim/engines/host.py", "from ...nas import train"),
        ("firmware_sim/replay.py", "importlib.import_module('tensorflow')"),
    ],
)
def test_a_forbidden_import_is_found(file, source):
    assert broken_imports(source, file)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("export/quantize.py", "import tensorflow as tf"),
        ("nas/train.py", "import keras\nfrom export.quantize import quantize"),
        ("export/bundle.py", "from .quantize import quantize"),
        ("firmware_sim/replay.py", "from export.bundle import Bundle\nimport datasets"),
    ],
)
def test_an_allowed_import_passes(file, source):
    assert broken_imports(source, file) == []


def test_the_simulator_runs_where_tensorflow_was_never_installed():
    code = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(["tensorflow", "keras", "optuna"]))
import datasets, export, firmware_sim
for package in (datasets, firmware_sim):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", files("*.py", "*.c", "*.h"))
def test_files_are_short(file):
    assert len((ROOT / file).read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("file", files("*.py"))
def test_python_functions_are_short(file):
    functions = (
        node
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert {f.name for f in functions if f.end_lineno - f.lineno >= FUNCTION_LINES_MAX} == set()


def c_code(file):
    """Return C source without comments and string contents, line for line."""
    blank = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    return blank.sub(lambda match: "\n" * match[0].count("\n"), (ROOT / file).read_text())


@pytest.mark.parametrize("file", files("*.c", below=["export/firmware"]))
def test_c_functions_are_short(file):
    # A signature starts in the first column, and the body's closing brace stands there too.
    bodies = re.finditer(r"^\w[^;{}]*\)\s*\{\n.*?^\}", c_code(file), re.DOTALL | re.MULTILINE)
    too_long = [
        body[0].split("(")[0] for body in bodies if body[0].count("\n") >= FUNCTION_LINES_MAX
    ]
    assert too_long == []


@pytest.mark.parametrize(
    "file",
    # A port talks to its machine and may bring more than the bare runtime.
    [file for file in files("*.c", "*.h", below=["export/firmware"]) if "ports" not in file],
)
def test_firmware_has_no_heap_and_no_printf(file):
    calls = re.findall(r"\b(?:malloc|calloc|realloc|free|\w*printf|puts)\s*\(", c_code(file))
    headers = re.findall(r"#\s*include\s*<(?:stdlib|stdio)\.h>", c_code(file))
    assert calls + headers == []
