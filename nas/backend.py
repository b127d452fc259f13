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
the backend takes its sums in one order then, however many cores there are. What the caller has set
stays.

The last two are numpy's and scikit-learn's, which read them when they are first imported: they hold
in a process that is started with them, as the benchmark's workers are. In others numpy has all
cores; a training needs it between stages alone.
"""


def load_keras() -> None:
    """Import Keras and its backend, whose first lines heed no log level."""
    for name, value in {"TF_CPP_MIN_LOG_LEVEL": "3", **ONE_THREAD}.items():
        os.environ.setdefault(name, value)
    with quiet():
        import keras  # noqa: F401
