"""Beats and rhythms out of a WFDB annotation file in MIT format.

wfdb's own reader loops for ever on some damaged files, so this reads the bytes itself.

References
----------
Format: https://physionet.org/physiotools/wag/annot-5.htm; codes of beats: ecgcodes.h of the WFDB
library.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .records import Annotations, Stretch

BEAT_SYMBOL_BY_CODE = {
    **{1: "N", 2: "L", 3: "R", 4: "a", 5: "V", 6: "F", 7: "J", 8: "A", 9: "S", 10: "E", 11: "j"},
    **{12: "/", 13: "Q", 25: "B", 30: "?", 34: "e", 35: "n", 38: "f", 41: "r"},
}
RHYTHM_CHANGE = 28
SKIP, NUMBER, SUBTYPE, CHANNEL, NOTE = 59, 60, 61, 62, 63
"""Codes that belong to another annotation: a long interval before it, or a field of it."""


def read_annotations(path: Path, n_samples: int) -> Annotations:
    """Return beats and rhythms of the annotation file `path` of a record of `n_samples`.

    A rhythm lasts from its change to the next one, or to the end of the record.

    Raises
    ------
    ValueError : the file is missing or cut off, or marks a sample the record does not have.
    """
    if not path.is_file():
        raise ValueError(f"{path}: must be there, got no file")
    beats, symbols, changes = [], [], []
    for sample, code, note in _marks(path, path.read_bytes()):
        if not 0 <= sample < n_samples:
            raise ValueError(
                f"{path}: annotations must be at samples 0 to {n_samples - 1}, got {sample}"
            )
        if code in BEAT_SYMBOL_BY_CODE:
            beats.append(sample)
            symbols.append(BEAT_SYMBOL_BY_CODE[code])
        elif code == RHYTHM_CHANGE:
            changes.append((sample, note))
    if np.any(np.diff(beats) < 0):
        raise ValueError(f"{path}: beats must be in order, got an earlier one after a later one")
    changes.sort(key=lambda change: change[0])
    stops = [sample for sample, _ in changes[1:]] + [n_samples]
    stretches = (
        Stretch(start, stop, "rhythm", note)
        for (start, note), stop in zip(changes, stops, strict=True)
    )
    return Annotations(
        tuple(stretch for stretch in stretches if stretch.stop > stretch.start),
        np.array(beats, np.int64),
        np.array(symbols, np.str_),
    )


def _marks(path: Path, content: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield sample, code and note of every annotation."""
    sample, at = 0, 0
    pending: tuple[int, int] | None = None  # an annotation whose note may still follow
    note = ""
    while True:
        word = content[at : at + 2]
        if len(word) < 2:
            raise ValueError(f"{path}: must end with the mark of its end, it is cut off")
        at += 2
        code, interval = word[1] >> 2, (word[1] & 3) << 8 | word[0]
        if code == NOTE:
            note = content[at : at + interval].decode("latin-1").strip("\0 (")
            at += interval + interval % 2
            continue
        if code in (NUMBER, SUBTYPE, CHANNEL):
            continue
        if pending:
            yield *pending, note
            pending, note = None, ""
        if code == interval == 0:
            return
        if code == SKIP:
            high, low = content[at : at + 2], content[at + 2 : at + 4]
            sample += int.from_bytes(low + high, "little", signed=True)
            at += 4
        else:
            sample += interval
            pending = sample, code
