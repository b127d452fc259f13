"""Bundles are untrusted: what is missing, altered or cut short is named and refused."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from export import blob as blobs
from export.bundle import FILES, load_bundle
from tests.bundles import make_bundle
from tests.networks import small_network


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "b"
    make_bundle(folder)
    return folder


@pytest.fixture
def bundle(original, tmp_path):
    """A copy to damage."""
    return shutil.copytree(original, tmp_path / "copy")


def rehash(bundle, name):
    """Make the manifest agree with an altered file."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_a_bundle_comes_back_as_written(bundle):
    loaded = load_bundle(bundle)
    assert loaded.classes == ("NORM", "MI", "STTC", "CD")
    assert loaded.threshold == loaded.manifest["filter"]["threshold"]["value"]
    assert loaded.golden.adc_counts.shape == (12, 1000, 1)
    assert 0 < loaded.golden.accepted.sum() < 12


def test_writing_it_again_gives_the_same_bytes(bundle, tmp_path):
    make_bundle(tmp_path / "again")
    for name in (*FILES, "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (bundle / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} must exist"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_named(bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(bytes(data))
    with pytest.raises(ValueError, match=rf"{name} must have the manifest's SHA-256"):
        load_bundle(bundle)


def test_a_blob_cut_short_is_refused_even_if_the_manifest_agrees(bundle):
    path = bundle / "filter.bgm"
    path.write_bytes(path.read_bytes()[:-40])
    rehash(bundle, "filter.bgm")
    with pytest.raises(ValueError, match=r"filter.bgm is shorter than its header says"):
        load_bundle(bundle)


def test_a_gate_in_place_of_the_classifier_is_refused(bundle):
    shutil.copy(bundle / "filter.bgm", bundle / "classifier.bgm")
    rehash(bundle, "classifier.bgm")
    with pytest.raises(ValueError, match=r"classifier.bgm has the wrong role"):
        load_bundle(bundle)


def test_golden_vectors_with_pickled_objects_are_refused(bundle):
    np.savez(bundle / "golden.npz", adc_counts=np.array([{"run": "me"}], object))
    rehash(bundle, "golden.npz")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be a bundle manifest"),
        ("[]", "must be a bundle manifest"),
        ('{"format": 9, "files": {}}', "format must be 2, got 9"),
        ('{"format": 2, "files": {}}', "it lists no"),
    ],
)
def test_a_manifest_that_is_none_is_refused(bundle, text, message):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("filter", "threshold", "value"), 7, "filter threshold is 7 in manifest.json and"),
        (("arena_bytes",), 16, "arena_bytes is 16"),
        (("data", "highpass_hz"), 0.05, "filter signal chain"),
        (("data", "leads"), ["I", "II"], "golden.npz must hold int16 windows"),
        (("data", "hop_s"), 2.0, "filter hop is 200"),
        (("data", "fs"), 1e308, "fs must be in"),
        (("data", "window_s"), 1e308, "must be a bundle of format 2: OverflowError"),
        (("front_end", "fs"), 200.0, "golden.npz must hold int16 windows of 1999 x 1"),
        (("front_end", "adc_gain"), 200.0, "filter signal chain"),
        (("front_end", "volts"), 1, "must be a bundle of format 2: TypeError"),
        (("data", "baseline"), 10**6, "baseline must be in"),
        (("classifier", "classes"), ["NORM"], "number of classes is 1"),
        (("classifier", "classes"), ["HYP", "MI", "STTC", "CD"], "classes is"),
        (("filter", "score_rule"), "guess", "must be a bundle of format 2: KeyError"),
        (("filter", "score_constants", "centre"), [0.0] * 4, "score constants"),
        (("filter",), 3, "must be a bundle of format 2: TypeError"),
        (("files",), ["filter.bgm"], "must be a bundle manifest"),
    ],
)
def test_a_manifest_that_contradicts_the_blobs_is_refused(bundle, path, value, what):
    manifest = json.loads((bundle / "manifest.json").read_text())
    entry = manifest
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=what):
        load_bundle(bundle)


def test_another_network_beside_the_blob_is_refused(bundle):
    (bundle / "filter.tflite").write_bytes(small_network(7, 1000))
    rehash(bundle, "filter.tflite")
    with pytest.raises(ValueError, match=r"filter.tflite SHA-256 is"):
        load_bundle(bundle)


def test_golden_decisions_of_another_number_are_refused(bundle):
    with np.load(bundle / "golden.npz") as arrays:
        values = dict(arrays)
    np.savez(bundle / "golden.npz", **{**values, "scores": values["scores"][:3]})
    rehash(bundle, "golden.npz")
    with pytest.raises(ValueError, match="a decision for each of 12 windows"):
        load_bundle(bundle)


def test_golden_vectors_that_are_no_archive_are_refused(bundle):
    (bundle / "golden.npz").write_bytes(b"PK\x03\x04 broken")
    rehash(bundle, "golden.npz")
    with pytest.raises(ValueError, match="must be a bundle of format 2"):
        load_bundle(bundle)


def test_a_folder_that_is_no_bundle_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m export bundle"):
        load_bundle(tmp_path)


def test_a_resealed_flip_loads(bundle):
    """The CRC is against accidents; only parity finds a weight changed on purpose."""
    path = bundle / "filter.bgm"
    path.write_bytes(blobs.flip_weight_bit(path.read_bytes(), 0))
    rehash(bundle, "filter.bgm")
    assert load_bundle(bundle).filter_blob == path.read_bytes()
