"""The code a cell depends on, as a digest that comments, docstrings and layout do not change."""

import ast
import hashlib
import io
import re
import tokenize
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]

TRAINING = (
    "datasets/protocol.py",
    "datasets/splits.py",
    "datasets/windows.py",
    "export/chain_windows.py",
    "export/fixed_point.py",
    "export/firmware/chain.c",
    "export/firmware/chain.h",
    "export/resampler.py",
    "export/signal_chain.py",
    "nas/plan.py",
    "nas/train.py",
    "nas/training_data.py",
    "nas/windows.py",
)
"""What decides the windows and the training loop, whatever the network."""

EVALUATION = (
    "datasets/faults.py",
    "datasets/noise.py",
    "datasets/nstdb.py",
    "datasets/snr.py",
    "export/firmware/score.c",
    "export/quantize.py",
    "export/score_rules.py",
    "export/threshold.py",
    "nas/benchmark/runs.py",
    "nas/benchmark/windows.py",
)
"""What turns a trained network into scores. The kernels are not in it: tests hold them to the
.tflite file to the bit, so a faster kernel gives the same scores."""

DAMAGE = ("datasets/faults.py", "datasets/noise.py", "datasets/snr.py", "nas/damage.py")
"""What decides a family that asks for damaged windows, besides the rest."""

_C_COMMENT = re.compile(r'"(?:\\.|[^"\\n])*"|/\*.*?\*/|//[^\n]*', re.DOTALL)


def digest_of(files: Iterable[str]) -> str:
    """Return the SHA-256 in hex of the code in `files`, paths from the project's root."""
    digest = hashlib.sha256()
    for file in sorted(set(files)):
        text = (ROOT / file).read_text(encoding="utf-8")
        code = python_code(text) if file.endswith(".py") else c_code(text)
        digest.update(f"{file}\n{code}\n".encode())
    return digest.hexdigest()


def family_files(detector: str) -> list[str]:
    """Return the files that decide one family: its module, and what that imports inside `nas`."""
    found: list[str] = []
    waiting = [f"nas/detectors/{detector}.py"]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.append(file)
            waiting += imported_files(file)
    # `nas/filter.py` for itself alone: the folders and checkpoints it imports decide nothing.
    damage = DAMAGE if any(map(asks_for_damage, found)) else ()
    return sorted({*found, "nas/filter.py", *damage})


def asks_for_damage(file: str) -> bool:
    """Return whether a module of a family reads `TrainingWindows.damaged`."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return "damaged" in names


def imported_files(file: str) -> list[str]:
    """Return the modules of `nas` that a module imports, as paths from the project's root."""
    found = []
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = Path(file).parents[node.level - 1]
            base = folder / (node.module or "").replace(".", "/")
            names = [base.with_suffix(".py")] if node.module else []
            names += [base / f"{alias.name}.py" for alias in node.names]
            found += [str(name) for name in names if (ROOT / name).is_file()]
    return found


def python_code(text: str) -> str:
    r"""Return Python without comments, docstrings and empty lines; the same in every version.

    Examples
    --------
    >>> python_code('def f():  # why\n    "what"\n\n    return 1  # one\n')
    'def f():\n    return 1'
    """
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                for row in range(statement.lineno, (statement.end_lineno or 0) + 1):
                    lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def c_code(text: str) -> str:
    r"""Return C without comments, and with one space for any white space.

    Examples
    --------
    >>> c_code('int  a; /* why */\nchar b[] = "//"; // what')
    'int a; char b[] = "//";'
    """
    bare = _C_COMMENT.sub(lambda found: found[0] if found[0].startswith('"') else " ", text)
    return " ".join(bare.split())
