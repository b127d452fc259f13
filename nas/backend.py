"""Keras, loaded the way a training wants it: quietly, and on one thread."""

import os

from export.quiet import quiet

ONE_THREAD = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "NPROC": "1",  # JAX's
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment of a process that trains.

A small network gains little from a second core, and a second training beside it all of it. Besides,
sums are then taken in one order on every machine. What the caller has set stays.
"""


def load_keras() -> None:
    """Import Keras and its backend, whose first lines heed no log level."""
    for name, value in {"TF_CPP_MIN_LOG_LEVEL": "3", **ONE_THREAD}.items():
        os.environ.setdefault(name, value)
    with quiet():
        import keras  # noqa: F401
