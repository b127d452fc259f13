import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets import SPLITS, SUPERCLASSES, open_dataset
from datasets.cache import SignalCache
from datasets.faults import FAULTS
from datasets.morphology import BEATS, DOWER, draw_beats
from datasets.ptbxl import LEADS
from datasets.rhythm import ATRIAL_FIBRILLATION, draw_rhythm
from datasets.synthetic import (
    FS_SIMULATED,
    NOISE_FLAGS,
    SyntheticOptions,
    draw_subject,
    open_synthetic,
    simulate,
    twelve_leads,
)

ROOT = Path(__file__).resolve().parents[1]
TINY = "n_subjects=5,seed=1"
DEFAULT = SyntheticOptions()

# Another digest means other recordings for everybody: raise VERSION in datasets/synthetic.py, say
# so in CHANGELOG.md, and remake with `python -m tests.test_datasets_synthetic`.
GOLDEN = {
    "all at 100 Hz": "0418c07e5677df5084b6b1a0835a0809c15a73bbcbe40f05137f6e8cf3cfbdb7",
    "first 20 at 500 Hz": "25d72619091603bd58f05dd5c849692d2f059d08943285b018035b51b987e7c7",
}


def digests():
    """Hash every default record at 100 Hz, and some at 500 Hz."""
    found = {}
    for name, n_records, fs in (("all at 100 Hz", 240, 100.0), ("first 20 at 500 Hz", 20, 500.0)):
        sha256 = hashlib.sha256()
        for index in range(n_records):
            sha256.update(simulate(DEFAULT, fs, index).astype("<i2").tobytes())
            annotations = draw_subject(DEFAULT, index).annotations(fs)
            sha256.update(repr((annotations.beats.tolist(), annotations.stretches)).encode())
        found[name] = sha256.hexdigest()
    return found


def in_another_process(**environment):
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_datasets_synthetic"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One record of each class."""
    return open_dataset("synthetic", TINY, cache=tmp_path_factory.mktemp("synthetic"))


def subjects():
    return [draw_subject(DEFAULT, index) for index in range(DEFAULT.n_subjects)]


def lead(adc_counts, name):
    return adc_counts[:, LEADS.index(name)].astype(np.float64) / 1000


def beat_mv(superclass, finding):
    """Draw one beat of a finding, float64 (500, 12) in mV, R at sample 200."""
    dipole = draw_beats([(0.4, 1.0, 1.0, BEATS[superclass][finding])], 500, 500)
    counts = np.rint(dipole @ DOWER.T * 1000).astype(np.int16)
    return twelve_leads(counts) / 1000


def at(beat, name, ms):
    return beat[200 + ms // 2, LEADS.index(name)]


def test_a_record_a_class(tiny):
    records = [tiny.load(record_id) for record_id in tiny.record_ids()]
    assert [record.superclasses for record in records] == [{name} for name in SUPERCLASSES]
    assert len({record.subject_id for record in records}) == 5


def test_the_default_records_are_the_golden_ones():
    assert digests() == GOLDEN


def test_other_processors_and_places_give_the_same_bytes():
    other = in_another_process(
        NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR ASIMDHP ASIMDDP SVE",
        OPENBLAS_CORETYPE="Prescott",
        GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        LC_ALL="C",
        TZ="Pacific/Chatham",
        PYTHONHASHSEED="7",
        OMP_NUM_THREADS="1",
    )
    assert other == GOLDEN


def test_the_cache_holds_what_is_simulated(tiny):
    again = simulate(SyntheticOptions(n_subjects=5, seed=1), 100.0, index=3)
    assert np.array_equal(tiny.load("00003").adc_counts, again)


def test_another_seed_or_record_gives_another_signal(tiny):
    other = simulate(SyntheticOptions(n_subjects=5, seed=2), 100.0, index=0)
    first, next_normal = tiny.load("00000").adc_counts, simulate(SyntheticOptions(10, 1), 100.0, 5)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, next_normal)


def test_both_rates_show_the_same_signal(tiny):
    fine = simulate(SyntheticOptions(n_subjects=5, seed=1), 500.0, index=0)
    assert fine.shape == (5000, 12)
    coarse = tiny.load("00000").adc_counts
    assert np.corrcoef(fine[::5, 0], coarse[:, 0])[0, 1] > 0.95


def test_more_subjects_leave_the_first_ones_as_they_are(tiny):
    assert np.array_equal(
        tiny.load("00002").adc_counts, simulate(SyntheticOptions(100, 1), 100.0, 2)
    )


@pytest.mark.parametrize("index", range(0, 40, 3))
def test_limb_leads_follow_from_i_and_ii(index):
    counts = simulate(DEFAULT, 100.0, index)
    i, ii, iii, avr, avl, avf = counts[:, :6].astype(np.int64).T
    whole = (np.abs(counts) < 32767).all(axis=1)
    expected = np.stack([ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2], axis=1)
    found = np.stack([iii, avr, avl, avf], axis=1)
    assert whole.any()
    assert np.abs(found - expected)[whole].max() <= 0.5
    assert np.array_equal(iii[whole], (ii - i)[whole])


def test_a_railed_lead_is_clipped_and_never_wraps():
    railed = np.zeros((1, 8), np.int16)
    railed[0, :2] = 32767, -32767
    assert twelve_leads(railed)[0, :6].tolist() == [32767, -32767, -32767, 0, 32767, -32767]


def test_st_segments_are_up_and_down_where_textbooks_have_them():
    inferior, anterior = beat_mv("MI", "inferior infarct"), beat_mv("MI", "anterior infarct")
    depressed = beat_mv("STTC", "ST depression")
    for name in ("II", "III", "aVF"):
        assert at(inferior, name, 100) > 0.15
        assert at(inferior, name, -20) < -0.2  # a Q wave
    for name in ("I", "aVL"):
        assert at(inferior, name, 100) < -0.05
    for name in ("V2", "V3", "V4"):
        assert at(anterior, name, 100) > 0.15
    for name in ("I", "II", "V5", "V6"):
        assert at(depressed, name, 80) < -0.05
        assert at(depressed, name, 120) < -0.05


@pytest.mark.parametrize(
    ("superclass", "finding", "shortest", "longest"),
    [
        ("NORM", "normal", 70, 110),
        ("CD", "left bundle branch block", 120, 180),
        ("CD", "right bundle branch block", 120, 180),
    ],
)
def test_the_qrs_complex_lasts_as_long_as_the_finding_says(superclass, finding, shortest, longest):
    beat = [wave for wave in BEATS[superclass][finding] if not wave.recovery]
    dipole = draw_beats([(0.5, 1.0, 1.0, tuple(beat))], 500, 500)
    wide = np.linalg.norm(dipole, axis=1) > 0.05 * np.linalg.norm(dipole, axis=1).max()
    assert shortest <= 2 * np.ptp(np.flatnonzero(wide)) <= longest


def test_bundle_branch_blocks_point_where_they_should():
    left = beat_mv("CD", "left bundle branch block")
    right = beat_mv("CD", "right bundle branch block")
    assert at(left, "V1", 30) < -0.8 < 0.8 < at(left, "V6", 30)
    assert at(left, "V6", 290) < -0.2  # the T wave points away from the QRS complex
    assert at(right, "V1", 64) > 0.5  # R'
    assert at(right, "V6", 64) < -0.4
    assert at(right, "I", 64) < -0.2


def test_hypertrophy_is_high_by_sokolow_and_lyon():
    high = beat_mv("HYP", "left ventricular hypertrophy")
    normal = beat_mv("NORM", "normal")

    def sokolow_lyon_mv(beat):
        return beat[:, LEADS.index("V5")].max() - beat[:, LEADS.index("V1")].min()

    assert sokolow_lyon_mv(high) > 3.5 > sokolow_lyon_mv(normal)
    assert high[:, LEADS.index("aVL")].max() > 1.1 > normal[:, LEADS.index("aVL")].max()


def p_height_mv(subject, counts):
    """Measure the mean of lead II around 165 ms before each beat, above that 60 ms earlier."""
    signal, fs = lead(counts, "II"), FS_SIMULATED
    beats = [round(t * fs) for t in subject.rhythm.times_s if 0.5 < t < 9.5]
    heights = [signal[b - 92 : b - 72].mean() - signal[b - 130 : b - 120].mean() for b in beats]
    return np.mean(heights)


def test_fibrillation_has_no_p_waves_and_no_regular_intervals():
    in_sinus, fibrillating = [], []
    for index, subject in enumerate(subjects()):
        if subject.fault or index % 5 == 0:
            continue
        group = fibrillating if subject.rhythm.name == ATRIAL_FIBRILLATION else in_sinus
        if len(group) < 12 and (subject.rhythm.symbols == "N").all():
            variation = subject.rhythm.rr_s.std() / subject.rhythm.rr_s.mean()
            height = p_height_mv(subject, simulate(DEFAULT, float(FS_SIMULATED), index))
            group.append((variation, height))
    irregular, absent = np.array(fibrillating).mean(axis=0)
    regular, present = np.array(in_sinus).mean(axis=0)
    assert irregular > 0.15 > 0.06 > regular
    assert present > 0.07 > 0.03 > abs(absent)


def test_ventricular_beats_come_early_and_are_made_up_for():
    rhythm = draw_rhythm(np.random.default_rng(0), 600, 70, False, premature_part=0.1)
    early = np.flatnonzero(rhythm.symbols == "V")[:-1]
    mean_s = 60 / 70
    assert len(early) > 10
    assert rhythm.rr_s[early].max() < 0.9 * mean_s
    assert rhythm.rr_s[early + 1].min() > 1.1 * mean_s
    both = rhythm.rr_s[early] + rhythm.rr_s[early + 1]
    assert np.abs(both - 2 * mean_s).max() < 0.2 * mean_s


@pytest.mark.parametrize("index", [0, 3, 5, 9, 14])
def test_a_beat_detector_finds_the_annotated_beats(index):
    import neurokit2

    subject = draw_subject(DEFAULT, index)
    assert subject.fault is None
    signal = lead(simulate(DEFAULT, 500.0, index), "V5")
    cleaned = neurokit2.ecg_clean(signal, sampling_rate=500)
    found = neurokit2.ecg_findpeaks(cleaned, sampling_rate=500)["ECG_R_Peaks"]
    annotated = subject.annotations(500.0).beats
    inner = annotated[(annotated > 250) & (annotated < 4750)]
    for beat in inner:
        assert np.abs(found - beat).min() <= 30, f"beat at {beat / 500:.2f} s"
    assert abs(len(found) - len(annotated)) <= 1


def test_the_sick_are_older_and_fibrillate_more():
    by_class = {
        name: [s for s in subjects() if s.info.superclasses == (name,)] for name in SUPERCLASSES
    }
    ages = {name: np.mean([s.info.age for s in group]) for name, group in by_class.items()}
    assert all(ages[name] > ages["NORM"] + 8 for name in SUPERCLASSES[1:])
    assert all(18 <= s.info.age <= 89 for s in subjects())
    assert {s.info.sex for s in subjects()} == {"male", "female"}
    assert not any(s.rhythm.name == ATRIAL_FIBRILLATION for s in by_class["NORM"])
    assert 10 < sum(s.rhythm.name == ATRIAL_FIBRILLATION for s in subjects()) < 40


def test_every_fault_and_every_finding_is_in_the_default():
    assert {s.fault[0] for s in subjects() if s.fault} == set(FAULTS)
    found = {(s.info.superclasses[0], s.finding) for s in subjects()}
    assert found == {(name, finding) for name in BEATS for finding in BEATS[name]}


def test_beats_carry_the_codes_of_their_finding():
    found = {s.finding: set(s.annotations(100.0).symbols) - {"A", "V"} for s in subjects()}
    blocks = {"left bundle branch block": {"L"}, "right bundle branch block": {"R"}}
    assert found == {finding: {"N"} for finding in found} | blocks


def test_a_faulty_record_says_where_and_is_not_clean(tmp_path):
    dataset = open_dataset("synthetic", "n_subjects=60", cache=tmp_path)
    faulty = [dataset.load(i) for i in dataset.record_ids() if not dataset.load(i).clean]
    assert faulty
    for record in faulty:
        (fault,) = [s for s in record.annotations.stretches if s.kind == "fault"]
        assert record.noise_flags == {NOISE_FLAGS[fault.label]}
        assert 300 <= fault.stop - fault.start <= 1000


def test_a_fault_changes_its_stretch_and_nothing_else(monkeypatch):
    index = next(i for i, s in enumerate(subjects()) if s.fault and s.fault[0] == "muscle")
    faulty, fault = simulate(DEFAULT, 100.0, index), draw_subject(DEFAULT, index).fault
    monkeypatch.setattr("datasets.synthetic._with_fault", lambda record, *_: record)
    sound = simulate(DEFAULT, 100.0, index)
    changed = np.flatnonzero((faulty != sound).any(axis=1))
    assert fault[1] * 100 <= changed[0] < changed[-1] < fault[2] * 100
    assert (faulty != sound)[:, 0].any()  # lead I is always among the leads that are hit


def silent_signals(folder, key, record_ids, shape, *_):
    """Stand in for the cache where only the labels matter."""
    rows = {record_id: row for row, record_id in enumerate(record_ids)}
    return SignalCache(np.zeros((len(record_ids), *shape), np.int16), rows, {})


def test_every_split_of_the_default_can_do_its_work(monkeypatch):
    monkeypatch.setattr("datasets.synthetic.open_signals", silent_signals)
    dataset = open_synthetic(None, 100.0, None)
    assert dataset.n_listed == 240
    for split in SPLITS:
        records = [dataset.load(record_id) for record_id in dataset.record_ids(split)]
        for held_out in SUPERCLASSES:
            usable = [r for r in records if r.clean and held_out not in r.superclasses]
            assert len(usable) >= 19, f"{split} without {held_out}"
            assert len(usable) < len([r for r in records if r.clean])


@pytest.mark.parametrize(
    "text", ["60", "n_subjects", "n_subjects=many", "seed=-1", "size=3", "/data/synthetic"]
)
def test_options_that_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"must be like n_subjects=60,seed=1, got '"):
        SyntheticOptions.from_text(text)


def test_options():
    assert SyntheticOptions.from_text("") == SyntheticOptions(240, 0)
    assert SyntheticOptions.from_text("seed=3") == SyntheticOptions(240, 3)
    assert SyntheticOptions.from_text("seed=3,n_subjects=9") == SyntheticOptions(9, 3)
    with pytest.raises(ValueError, match="n_subjects of 1 or more"):
        SyntheticOptions(n_subjects=0)


if __name__ == "__main__":
    print(json.dumps(digests(), indent=4))
