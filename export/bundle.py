"""The bundle `build/NAME`: everything a board, a simulator or a reader needs of one result.

    filter.tflite, classifier.tflite   the networks as the converter left them
    filter.bgm, classifier.bgm         the same as the firmware runs them
    golden.npz                         inputs and the decisions they must give
    manifest.json                      how it came about; the hash of every file
    MODEL_CARD.md                      the same for a person

A bundle is untrusted: every file is compared with the manifest's SHA-256 before it is used.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.records import BoolArray, Int16Array, Int64Array

from .blob import read_header
from .native import Role, aligned_blob, native
from .signal_chain import SignalChain
from .training_run import DataSettings

FORMAT = 1
MANIFEST = "manifest.json"
FILES = (
    "filter.tflite",
    "filter.bgm",
    "classifier.tflite",
    "classifier.bgm",
    "golden.npz",
    "MODEL_CARD.md",
)


@dataclass(frozen=True, slots=True)
class Golden:
    """Windows with the decisions that every engine and board must give.

    Parameters
    ----------
    adc_counts : int16 (n, window_len, n_leads), each from a fresh reset.
    scores : int64 (n,) of the filter; accepted : bool (n,).
    labels, margins : int64 (n,) of the classifier, -1 and 0 where the window was rejected.
    """

    adc_counts: Int16Array
    scores: Int64Array
    accepted: BoolArray
    labels: Int64Array
    margins: Int64Array


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory.

    Parameters
    ----------
    path : its folder; manifest : the parsed manifest.
    data : what it was trained on; classes : the classifier's outputs.
    filter_tflite, filter_blob, classifier_tflite, classifier_blob : file contents.
    golden : windows with known decisions.
    """

    path: Path
    manifest: dict[str, Any]
    data: DataSettings
    classes: tuple[str, ...]
    filter_tflite: bytes
    filter_blob: bytes
    classifier_tflite: bytes
    classifier_blob: bytes
    golden: Golden

    @property
    def chain(self) -> SignalChain:
        """The signal chain in front of both networks."""
        return self.data.chain

    @property
    def threshold(self) -> int:
        """The filter's integer threshold, as the C compares it."""
        return read_header(self.filter_blob).threshold


def load_bundle(path: Path) -> Bundle:
    """Read and verify a bundle.

    Raises
    ------
    FileNotFoundError : the folder or one of its files is missing.
    ValueError : a file's SHA-256 differs from the manifest's, or the firmware refuses a blob.
    """
    manifest = _load_manifest(path)
    contents = {name: _verified(path, name, manifest) for name in FILES}
    for name, role in (("filter.bgm", Role.GATE), ("classifier.bgm", Role.CLASSIFIER)):
        native().check_blob(aligned_blob(contents[name]), role, str(path / name))
    try:
        data = DataSettings(**{**manifest["data"], "leads": tuple(manifest["data"]["leads"])})
        classes = tuple(manifest["classifier"]["classes"])
        with np.load(path / "golden.npz", allow_pickle=False) as arrays:
            golden = Golden(**{name: arrays[name] for name in Golden.__slots__})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must be a bundle of format {FORMAT}: {error}") from error
    return Bundle(
        path=path,
        manifest=manifest,
        data=data,
        classes=classes,
        filter_tflite=contents["filter.tflite"],
        filter_blob=contents["filter.bgm"],
        classifier_tflite=contents["classifier.tflite"],
        classifier_blob=contents["classifier.bgm"],
        golden=golden,
    )


def write_bundle(out: Path, files: dict[str, bytes], manifest: dict[str, Any]) -> dict[str, Any]:
    """Write `files` (all of `FILES`) and return the manifest with their hashes, written last.

    A write cut short leaves no manifest, so that half a bundle never loads.
    """
    assert set(files) == set(FILES)
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    complete = {**manifest, "files": hashes}
    (out / MANIFEST).write_text(json.dumps(complete, indent=2) + "\n")
    return complete


def _load_manifest(path: Path) -> dict[str, Any]:
    manifest_path = path / MANIFEST
    if not manifest_path.exists():
        raise FileNotFoundError(
            f"{manifest_path} must exist, it does not: make a bundle with `python -m export bundle`"
        )
    try:
        manifest = json.loads(manifest_path.read_text())
        if manifest["format"] != FORMAT:
            raise ValueError(f"format must be {FORMAT}, got {manifest['format']}")
        missing = sorted(set(FILES) - set(manifest["files"]))
        if missing:
            raise ValueError(f"it lists no {', '.join(missing)}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{manifest_path} must be a bundle manifest: {error}") from error
    return dict(manifest)


def _verified(path: Path, name: str, manifest: dict[str, Any]) -> bytes:
    file = path / name
    if not file.exists():
        raise FileNotFoundError(f"{file} must exist as the manifest says, it does not")
    data = file.read_bytes()
    found, expected = hashlib.sha256(data).hexdigest(), manifest["files"][name]
    if found != expected:
        raise ValueError(
            f"{file} must have the manifest's SHA-256 {expected[:16]}..., got {found[:16]}..."
        )
    return data
