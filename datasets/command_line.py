"""What every command of ours shares: exit codes, errors without tracebacks, progress, JSON.

Exit codes: 0 done, 1 a check failed, 2 bad input, 70 a bug of ours, 130 interrupted by Ctrl-C.
It lives in `datasets` because that is the one package all others may import.
"""

import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

EXIT_CHECK_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_BUG = 70  # EX_SOFTWARE of BSD's sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder for the cache of signals; default beside the data.")
]


class CheckFailed(Exception):  # noqa: N818 - a verdict, not an error
    """Raised by a command whose check came out negative: its text is printed, exit 1."""


class App(typer.Typer):
    """A command line with this project's conventions: `app = App(help)`, then `@app.command()`.

    A `ValueError` or `OSError` out of a command prints `error: <one sentence>` and exits 2,
    `CheckFailed` exits 1, Ctrl-C 130; anything else is a bug of ours and exits 70. The environment
    variable BEATGATE_DEBUG=1 adds the traceback. A command's docstring is its help; an `Examples`
    section, underlined as numpydoc has it, keeps its lines.
    """

    def __init__(self, help: str) -> None:
        super().__init__(
            help=help,
            cls=_Group,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        # Without a callback, typer turns an app of one command into that command.
        self.callback()(lambda: None)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does."""

        def register(function: Any) -> Any:
            options.setdefault("help", _help_text(function))
            return typer.Typer.command(self, name, **options)(function)

        return register


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in `text`, which has commas between them.

    Examples
    --------
    >>> split_names("I, II")
    ('I', 'II')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def print_json(value: object) -> None:
    """Print `value` as one JSON object on stdout; NaN is refused, since JSON has none."""
    print(json.dumps(value, indent=2, allow_nan=False))


class _Group(TyperGroup):
    """The click group behind `App`: the one place where exceptions become exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise  # typer's own ways to end: usage, a set exit code, a reader that has left
        except KeyboardInterrupt:
            _leave("interrupted", EXIT_INTERRUPTED)
        except CheckFailed as error:
            _leave(str(error), EXIT_CHECK_FAILED)
        except ModuleNotFoundError as error:
            _leave(f"error: this needs the Python package {error.name}", EXIT_BAD_INPUT, error)
        except (ValueError, OSError) as error:
            _leave(f"error: {_one_line(error)}", EXIT_BAD_INPUT, error)
        except Exception as error:
            hint = "set BEATGATE_DEBUG=1 for the traceback"
            text = f"internal error: {type(error).__name__}: {_one_line(error)} ({hint})"
            _leave(text, EXIT_BUG, error)


def _leave(text: str, code: int, error: Exception | None = None) -> None:
    if error is not None and os.environ.get("BEATGATE_DEBUG") == "1":
        traceback.print_exception(error)
    print(text, file=sys.stderr)
    raise typer.Exit(code) from None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def _help_text(function: Any) -> str:
    """Return the docstring, its examples marked by a backspace: typer then keeps their lines."""
    return (inspect.getdoc(function) or "").replace("Examples\n--------\n", "\b\nExamples:\n")
