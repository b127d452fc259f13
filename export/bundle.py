"""The bundle `build/NAME`: everything a board, a simulator or a reader needs of one result.

    filter.tflite, classifier.tflite   the networks as the converter left them
    filter.bgm, classifier.bgm         the same as the firmware runs them
    golden.npz                         inputs and the decisions they must give
    manifest.json                      how it came about; the hash of every file
    MODEL_CARD.md                      the same for a person

A bundle is untrusted: every file is compared with the manifest's SHA-256 before it is used.
"""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.records import BoolArray, Int16Array, Int64Array

from .blob import read_header, with_chain
from .golden import golden_file, other_sensors
from .graph import read_graph
from .native import Role, aligned_blob, native
from .pipeline import Pipeline
from .score_rules import SCORE_RULES
from .signal_chain import SignalChain
from .training_run import DataSettings

FORMAT = 2
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
    adc_counts : int16 (n, n_samples, n_leads), each from a fresh reset; just enough samples for one
        window.
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
    chain : the signal chain in front of both networks, of the sensor it is for.
    filter_tflite, filter_blob, classifier_tflite, classifier_blob : file contents.
    golden : windows with known decisions.
    """

    path: Path
    manifest: dict[str, Any]
    data: DataSettings
    chain: SignalChain
    classes: tuple[str, ...]
    filter_tflite: bytes
    filter_blob: bytes
    classifier_tflite: bytes
    classifier_blob: bytes
    golden: Golden

    @property
    def threshold(self) -> int:
        """The filter's integer threshold; `load_bundle` saw that it is the blob's."""
        return int(self.manifest["filter"]["threshold"]["value"])

    def with_front_end(
        self, fs: float, adc_gain: float, baseline: int, mains_hz: float | None = None
    ) -> "Bundle":
        """Return the same networks behind the signal chain of another sensor.

        In memory; `path` still names this bundle. The golden windows are those of the other sensor.
        Codes mean the same voltage as before, so the threshold stays; that another sensor gives the
        same scores is not proved by that.

        Raises
        ------
        ValueError : no chain leads from that sensor to these networks.
        """
        chain = self.data.chain.for_front_end(fs, adc_gain, baseline, mains_hz)
        gate, classifier = (with_chain(b, chain) for b in (self.filter_blob, self.classifier_blob))
        counts = other_sensors(self.golden.adc_counts, self.chain, chain, self.data.window_len)
        golden = golden_file(gate, classifier, counts)
        with Pipeline([gate], classifier) as pipeline:
            arena_bytes = pipeline.arena_bytes
        return replace(
            self,
            manifest={**self.manifest, "front_end": chain.front_end, "arena_bytes": arena_bytes},
            chain=chain,
            filter_blob=gate,
            classifier_blob=classifier,
            golden=_golden(golden, self.data, chain),
        )


def load_bundle(path: Path) -> Bundle:
    """Read and verify a bundle.

    The networks are believed to be whole once their hashes match: TFLite Micro, which the `tflm`
    engine runs them in, does not check a .tflite. The firmware checks every blob.

    Raises
    ------
    FileNotFoundError : the folder or one of its files is missing.
    ValueError : a file's SHA-256 differs from the manifest's, the firmware refuses a blob, or
        manifest, networks, blobs and golden windows contradict each other.
    """
    manifest = _load_manifest(path)
    contents = {name: _verified(path, name, manifest) for name in FILES}
    for part, role in (("filter", Role.GATE), ("classifier", Role.CLASSIFIER)):
        native().check_blob(aligned_blob(contents[f"{part}.bgm"]), role, str(path / f"{part}.bgm"))
    try:
        data = DataSettings(**{**manifest["data"], "leads": tuple(manifest["data"]["leads"])})
        chain = data.chain.for_front_end(**manifest["front_end"])
        bundle = Bundle(
            path=path,
            manifest=manifest,
            data=data,
            chain=chain,
            classes=tuple(manifest["classifier"]["classes"]),
            filter_tflite=contents["filter.tflite"],
            filter_blob=contents["filter.bgm"],
            classifier_tflite=contents["classifier.tflite"],
            classifier_blob=contents["classifier.bgm"],
            golden=_golden(contents["golden.npz"], data, chain),
        )
        _check_agreement(bundle)
    except (
        KeyError,
        TypeError,
        ArithmeticError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
    ) as error:
        raise ValueError(f"{path} must be a bundle of format {FORMAT}: {error!r}") from error
    return bundle


def _golden(content: bytes, data: DataSettings, chain: SignalChain) -> Golden:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        golden = Golden(**{name: arrays[name] for name in Golden.__slots__})
    counts = golden.adc_counts
    shape = (chain.n_samples(data.window_len), len(data.leads))
    if counts.dtype != np.int16 or counts.shape[1:] != shape:
        raise ValueError(
            f"golden.npz must hold int16 windows of {shape[0]} x {shape[1]}, "
            f"got {counts.dtype} {counts.shape}"
        )
    if {len(getattr(golden, name)) for name in Golden.__slots__} != {len(counts)}:
        raise ValueError(f"golden.npz must hold a decision for each of {len(counts)} windows")
    return golden


def _check_agreement(bundle: Bundle) -> None:
    """Raise ValueError where manifest, .tflite and blob of a network do not belong together."""
    data, manifest = bundle.data, bundle.manifest
    with Pipeline([bundle.filter_blob], bundle.classifier_blob) as pipeline:
        facts: list[tuple[str, object, object]] = [
            ("arena_bytes", manifest["arena_bytes"], pipeline.arena_bytes)
        ]
    gate = read_header(bundle.filter_blob)
    facts += [
        ("filter threshold", manifest["filter"]["threshold"]["value"], gate.threshold),
        ("number of classes", len(bundle.classes), read_header(bundle.classifier_blob).n_outputs),
        ("classes", data.classes, bundle.classes),
    ]
    chain = bundle.chain.blob_bytes(len(data.leads)).hex()
    for part, blob, network in (
        ("filter", bundle.filter_blob, bundle.filter_tflite),
        ("classifier", bundle.classifier_blob, bundle.classifier_tflite),
    ):
        header = read_header(blob)
        facts += [
            (f"{part}.tflite SHA-256", hashlib.sha256(network).hexdigest(), header.source_sha256),
            (f"{part} signal chain", chain, header.chain.hex()),
            (f"{part} window", data.window_len, header.window_len),
            (f"{part} hop", data.hop_len, header.hop_len),
            (f"{part} leads", len(data.leads), header.n_leads),
        ]
    graph = read_graph(bundle.filter_tflite)
    rule = SCORE_RULES[manifest["filter"]["score_rule"]]
    constants = rule.quantize_constants(
        manifest["filter"]["score_constants"], graph.tensors[graph.output]
    )
    facts.append(("score constants", constants.tolist(), list(gate.score_constants)))
    for what, said, found in facts:
        if said != found:
            raise ValueError(
                f"{bundle.path} must be of one piece: {what} is {_short(said)} in {MANIFEST} "
                f"and {_short(found)} in the blob"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


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
        missing = sorted(set(FILES) - set(dict(manifest["files"])))
        if missing:
            raise ValueError(f"it lists no {', '.join(missing)}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
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
