"""Silence for libraries that talk past Python's streams."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep native chatter, such as TensorFlow's, off stdout and stderr; exceptions still come."""
    saved = [(stream, os.dup(stream)) for stream in (1, 2)]
    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
        for stream, _ in saved:
            os.dup2(sink.fileno(), stream)
        try:
            yield
        finally:
            for stream, copy in saved:
                os.dup2(copy, stream)
                os.close(copy)
