import itertools

import numpy as np
import pytest

from datasets import open_dataset
from datasets.butqdb import FULLY_GRADED, N_ANNOTATORS, RECORD_IDS, open_butqdb, read_grades
from tests.butqdb_folder import BASELINE, GAIN, counts_at, grades_text, real_grades, write_record

N_SAMPLES = 1000
ONE_OF_EACH = {
    "ann1": [[0, 999, 1]],
    "ann2": [[0, 399, 1], [400, 999, 2]],
    "ann3": [[0, 299, 1], [300, 999, 2]],
    "cons": [[0, 399, 1], [400, 699, 2], [700, 799, 0], [800, 999, 3]],
}


@pytest.fixture
def ann_csv(tmp_path):
    """Return a function that writes an annotation file of 1000 samples and reads it."""

    def read(text):
        path = tmp_path / "100001_ANN.csv"
        path.write_text(text)
        return read_grades(path, N_SAMPLES)

    return read


def test_stretches_are_the_consensus_cut_where_the_agreement_changes(ann_csv):
    stretches = ann_csv(grades_text(ONE_OF_EACH)).stretches
    assert [(s.start, s.stop, s.label, round(s.agreement * N_ANNOTATORS)) for s in stretches] == [
        (0, 300, "1", 3),
        (300, 400, "1", 2),
        (400, 700, "2", 2),
        (800, 1000, "3", 0),
    ]
    assert {s.kind for s in stretches} == {"quality"}


def test_what_nobody_graded_is_in_no_stretch(ann_csv):
    none = {grader: [[0, 999, 0]] for grader in ONE_OF_EACH}
    assert ann_csv(grades_text(none)).stretches == ()


def test_grades_are_those_of_a_vector_with_one_class_a_sample(ann_csv):
    rng = np.random.default_rng(3)
    vectors, grades = {}, {}
    for grader in ONE_OF_EACH:
        vectors[grader] = np.repeat(rng.integers(0, 4, 100), 10)
        edges = [0, *(np.flatnonzero(np.diff(vectors[grader])) + 1), N_SAMPLES]
        grades[grader] = [
            [start, stop - 1, vectors[grader][start]] for start, stop in itertools.pairwise(edges)
        ]
    found = ann_csv(grades_text(grades)).stretches
    classes, n_agreeing = np.zeros(N_SAMPLES, int), np.zeros(N_SAMPLES)
    for stretch in found:
        classes[stretch.start : stretch.stop] = int(stretch.label)
        n_agreeing[stretch.start : stretch.stop] = stretch.agreement * N_ANNOTATORS
    assert np.array_equal(classes, vectors["cons"])
    expected = sum(vectors[grader] == vectors["cons"] for grader in ("ann1", "ann2", "ann3"))
    assert np.allclose(n_agreeing, np.where(classes > 0, expected, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have rows of the consensus, got none"),
        ("1,2,1\n", "line 1: must have 12 columns, got 3"),
        ("1,1000,1,1,1000,1,1,1000,1,x,1000,1\n", "line 1, consensus: .* whole numbers, got x"),
        ("1,1000,1,1,1000,1,1,1000,1,1,1000,4\n", "consensus: class must be 1, 2, 3, .* got 4"),
        ("1,1000,1,1,1000,1,1,1000,1,1,,1\n", "consensus: .* whole numbers, got 1,,1"),
        ("1,1000,1,1,1000,1,1,1000,1,1,1001,1\n", "from 1 to at most 1000, got 1 to 1001"),
        ("0,1000,1,1,1000,1,1,1000,1,1,1000,1\n", "annotator 1: samples must ascend from 1"),
        ("9,8,1,1,1000,1,1,1000,1,1,1000,1\n", "annotator 1: .* got 9 to 8"),
        ("1,1e400,1,1,1000,1,1,1000,1,1,1000,1\n", "annotator 1: .* got 1,1e400,1"),
        ("1,500,1,1,1000,1,1,1000,1,1,1000,1\n500,900,2,,,,,,,,,\n", "line 2, .* from 501"),
        ('1,1000,1,1,1000,1,1,1000,1,1,1000,1\n"', "must be a CSV file in ASCII"),
        ("1,1000,1,1,1000,1,1,1000,1,1,1000,\xb5\n", "must be a CSV file in ASCII"),
    ],
)
def test_a_broken_annotation_is_named(ann_csv, text, message):
    with pytest.raises(ValueError, match=message):
        ann_csv(text)


def test_a_record_keeps_its_own_gain_and_baseline(tmp_path):
    dataset = open_butqdb(write_record(tmp_path), 1000.0, None)
    reader = dataset.open("100001")
    assert reader.record.adc_gain == pytest.approx(1000 * GAIN)
    assert reader.record.baseline == BASELINE
    assert np.array_equal(reader.read(59_000, 60_000), counts_at(59_000, 60_000))
    # The beats are 1 mV high over an isoelectric line that wanders by 0.1 mV.
    assert 1.0 < reader.whole().signal_mv.max() < 1.3


def test_records_of_one_person_are_one_subject(tmp_path):
    for record_id in RECORD_IDS:
        write_record(tmp_path, record_id, n_samples=2000)
    dataset = open_dataset("butqdb", tmp_path)
    subjects = [dataset.open(record_id).record.subject_id for record_id in dataset.record_ids()]
    assert len(subjects) == 18
    assert len(set(subjects)) == 15
    assert subjects.count("100") == 2
    assert subjects.count("103") == 3


def test_absent_records_are_counted_and_named(tmp_path):
    dataset = open_dataset("butqdb", write_record(tmp_path))
    assert dataset.n_absent == 17
    with pytest.raises(FileNotFoundError, match="103001/103001_ECG: the files of record 103001"):
        dataset.open("103001")
    with pytest.raises(ValueError, match="at least one of the 18 records must be there"):
        open_dataset("butqdb", tmp_path / "100001")
    with pytest.raises(ValueError, match="butqdb needs its folder"):
        open_dataset("butqdb")


def test_a_broken_record_stops_what_asks_for_the_data_set(tmp_path):
    write_record(tmp_path)
    write_record(tmp_path, "100002")
    (tmp_path / "100002" / "100002_ECG.dat").write_bytes(b"\0" * 99)
    dataset = open_dataset("butqdb", tmp_path)
    assert list(dataset.unreadable) == ["100002"]
    message = "100002_ECG.dat: must have 120000 bytes for 60000 samples of 1 leads .* got 99"
    with pytest.raises(ValueError, match=message):
        dataset.record_ids("test")
    with pytest.raises(ValueError, match=message):
        dataset.open("100002")
    assert dataset.open("100001").n_samples == 60_000


def test_a_record_without_its_annotations_is_broken(tmp_path):
    write_record(tmp_path)
    (tmp_path / "100001" / "100001_ANN.csv").unlink()
    dataset = open_dataset("butqdb", tmp_path)
    with pytest.raises(ValueError, match=r"100001_ANN\.csv: must be there"):
        dataset.record_ids()


def test_another_rate_than_published_is_refused(tmp_path):
    dataset = open_dataset("butqdb", write_record(tmp_path, fs=500))
    with pytest.raises(ValueError, match=r"100001_ECG\.hea: fs must be 1000 Hz, got 500"):
        dataset.record_ids()


def test_real_grades_add_up_to_what_is_published(butqdb_annotations, tmp_path):
    grades = real_grades()
    assert tuple(grades) == RECORD_IDS
    n_recorded, n_by_class, n_of_105001, n_unanimous, full = 0, {}, 0, 0, []
    for record_id, rows in grades.items():
        n_samples = rows["cons"][-1][1] + 1
        path = tmp_path / "x_ANN.csv"
        path.write_text(grades_text(rows))
        stretches = read_grades(path, n_samples).stretches
        n_recorded += n_samples
        n_graded = 0
        for stretch in stretches:
            length = stretch.stop - stretch.start
            n_graded += length
            n_by_class[stretch.label] = n_by_class.get(stretch.label, 0) + length
            n_unanimous += length * (stretch.agreement == 1)
            n_of_105001 += length * (record_id == "105001" and stretch.label == "3")
        full += [record_id] * (n_graded == n_samples)
    n_graded = sum(n_by_class.values())
    assert round(n_recorded / 3.6e6, 1) == 478.7  # hours
    assert round(n_graded / 3.6e6, 1) == 99.4
    percent = {label: round(100 * n / n_graded, 1) for label, n in n_by_class.items()}
    assert percent == {"1": 51.5, "2": 33.3, "3": 15.2}
    assert round(100 * n_of_105001 / n_by_class["3"]) == 87
    assert tuple(full) == FULLY_GRADED
    assert round(100 * n_unanimous / n_graded, 1) == 69.4
