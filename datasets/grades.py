"""What annotators say of the signal's quality, asked for one window at a time."""

import numpy as np
import numpy.typing as npt

from .records import Annotations, BoolArray, FloatArray, Int8Array, Int64Array

KIND = "quality"  # of the stretches that hold grades


class Grades:
    """The grades of a recording; its stretches of the kind `KIND`, labelled 1 (clean) to 3.

    Parameters
    ----------
    annotations : of the recording.

    Raises
    ------
    ValueError : a grade is none of 1, 2, 3.

    Examples
    --------
    >>> from datasets import Stretch
    >>> marked = (Stretch(0, 50, "quality", "1", 1.0), Stretch(50, 80, "quality", "2", 0.5))
    >>> over = Grades(Annotations(marked)).over(np.array([0, 40, 60]), np.array([20, 60, 90]))
    >>> [part.tolist() for part in over]
    [[True, True, False], [1, 2, 2], [1.0, 0.5, 0.5]]
    """

    def __init__(self, annotations: Annotations) -> None:
        stretches = [s for s in annotations.stretches if s.kind == KIND]
        for stretch in stretches:
            if stretch.label not in {"1", "2", "3"}:
                raise ValueError(f"a grade of quality must be 1, 2 or 3, got {stretch.label!r}")
        self._starts = np.array([s.start for s in stretches], np.int64)
        self._stops = np.array([s.stop for s in stretches], np.int64)
        self._classes = np.array([int(s.label) for s in stretches], np.int8)
        self._agreements = np.array(
            [np.nan if s.agreement is None else s.agreement for s in stretches], np.float32
        )

    def over(
        self, begins: Int64Array | FloatArray, ends: Int64Array | FloatArray
    ) -> tuple[BoolArray, Int8Array, npt.NDArray[np.float32]]:
        """Return the grades of the samples [begin, end) of each window.

        Returns
        -------
        graded : whether every sample has a grade; all True for a recording without any grade.
        quality, agreement : as in `WindowBatch`, of the samples that have a grade.
        """
        quality = np.zeros(len(begins), np.int8)
        agreement = np.full(len(begins), np.nan, np.float32)
        if len(self._starts) == 0:
            return np.ones(len(begins), np.bool_), quality, agreement
        low = np.searchsorted(self._stops, begins, side="right")
        high = np.searchsorted(self._starts, ends, side="left")
        covered = np.zeros(len(begins))
        for i in np.flatnonzero(low < high):
            part = slice(low[i], high[i])
            inside = np.minimum(self._stops[part], ends[i]) - np.maximum(
                self._starts[part], begins[i]
            )
            covered[i] = inside.sum()
            quality[i] = self._classes[part].max()
            agreement[i] = self._agreements[part].min()
        return covered == ends - begins, quality, agreement
