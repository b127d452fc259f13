import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets import Annotations, EcgRecord, RecordReader, Stretch, open_dataset
from datasets.__main__ import app
from datasets.drawing import write_drawing
from datasets.ecg_page import excerpt_page
from datasets.ecg_paper import (
    Excerpt,
    beat_legend,
    facts,
    mark_text,
    take_excerpt,
    title,
    with_fault,
)
from datasets.ecg_sheet import sheet_rows, write_sheet
from datasets.faults import FAULTS
from datasets.ptbxl import LEADS

FS = 250.0
DAY_LEN = 24 * 3600 * 250


class LongRecording:
    """A data set of one record of a day, which notes what is read of it."""

    name = "day"

    def __init__(self, n_samples=DAY_LEN):
        marks = Annotations(
            (Stretch(0, 5000, "quality", "1", 1.0), Stretch(5000, 9000, "quality", "3", 2 / 3)),
            np.arange(100, n_samples, 200),
            np.where(np.arange(100, n_samples, 200) % 1400 == 100, "V", "N"),
        )
        self.record = EcgRecord(
            "7", "s7", FS, ("I",), np.empty((0, 1), np.int16), 200.0, 1024, annotations=marks
        )
        self.n_samples = n_samples
        self.reads = []

    def open(self, record_id, leads=None):
        return RecordReader(self.record, self.n_samples, self.read)

    def read(self, start, stop):
        self.reads.append((start, stop))
        samples = np.arange(start, stop)[:, None]
        return (1024 + 200 * (samples % 200 == 100)).astype(np.int16)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return open_dataset("synthetic", "n_subjects=8", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def day():
    return take_excerpt(LongRecording(), "7", None, 15.0, 12.0)


def show(*arguments):
    return CliRunner().invoke(app, ["show", *map(str, arguments)])


def is_png(data):
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82")


def test_no_more_is_read_than_is_drawn():
    dataset = LongRecording()
    excerpt = take_excerpt(dataset, "7", None, 20_000, 8)
    assert dataset.reads == [(5_000_000, 5_002_000)]
    assert (excerpt.start_s, excerpt.duration_s, excerpt.total_s) == (20_000, 8, 86_400)


def test_annotations_are_those_of_the_stretch(day):
    first, second = day.record.annotations.stretches
    assert (first.start, first.stop, first.label) == (0, 1250, "1")
    assert (second.start, second.stop, second.label) == (1250, 3000, "3")
    assert day.record.annotations.beats[:2].tolist() == [150, 350]


def test_the_default_is_ten_seconds_or_what_there_is():
    assert take_excerpt(LongRecording(), "7", None, 5, None).duration_s == 10
    assert take_excerpt(LongRecording(n_samples=1000), "7", None, 1, None).duration_s == 3


@pytest.mark.parametrize(
    ("start", "seconds", "message"),
    [
        (-1, 5, "start must be in the 86400 s of record 7, got -1"),
        (86_400, 5, "start must be in the 86400 s"),
        (float("nan"), 5, "got nan"),
        (86_395, 10, "the stretch must end in the 86400 s of record 7, got 86395 to 86405 s"),
        (0, 0, "seconds must be more than 0 and at most 60, got 0"),
        (0, 61, "at most 60, got 61"),
        (0, float("nan"), "got nan"),
        (0, 0.004, "seconds must be two samples at 250 Hz or more, got 0.004"),
    ],
)
def test_stretches_that_are_not_there(start, seconds, message):
    with pytest.raises(ValueError, match=message):
        take_excerpt(LongRecording(), "7", None, start, seconds)


def test_what_is_written_above_a_drawing(day):
    assert title(day) == "day record 7"
    assert facts(day) == (
        "subject s7 · age not known · sex not known",
        "15 s to 27 s of 24:00:00 · 25 mm/s, 10 mm/mV · 250 Hz · 200 counts/mV",
    )
    assert beat_legend(day) == "Beats: N normal, V ventricular premature."
    assert [mark_text(stretch) for stretch in day.record.annotations.stretches] == [
        "quality 1, all waves clear, 100 % agree",
        "quality 3, unusable, 67 % agree",
    ]


def test_a_clock_for_hours_and_parts_of_a_second():
    excerpt = take_excerpt(LongRecording(), "7", None, 3725.5, 10)
    assert facts(excerpt)[1].startswith("1:02:05.5 to 1:02:15.5 of 24:00:00")


def test_traces_rest_on_the_median_outside_faults(synthetic):
    excerpt = take_excerpt(synthetic, "00000", ("I",), 0, None)
    railed = with_fault(excerpt, "saturation", None, 0)
    assert abs(np.median(railed.drawn_mv[:250])) < 0.05
    assert np.abs(railed.drawn_mv[300:700]).max() > 5


def test_twelve_leads_of_ten_seconds_are_laid_out_as_in_hospitals():
    *rows, rhythm = sheet_rows(LEADS, 1000, 100.0)
    assert [[trace.lead for trace in row.traces] for row in rows] == [
        ["I", "aVR", "V1", "V4"],
        ["II", "aVL", "V2", "V5"],
        ["III", "aVF", "V3", "V6"],
    ]
    for row in rows:
        spans = [(trace.start, trace.stop) for trace in row.traces]
        assert spans == [(0, 250), (250, 500), (500, 750), (750, 1000)]
    assert [trace.lead for trace in rhythm.traces] == ["II"]
    assert rhythm.marked


@pytest.mark.parametrize(("n_leads", "seconds", "n_rows"), [(1, 10, 1), (2, 25, 6), (12, 8, 12)])
def test_anything_else_is_one_lead_below_the_other(n_leads, seconds, n_rows):
    rows = sheet_rows(LEADS[:n_leads], seconds * 250, FS)
    assert len(rows) == n_rows
    for lead in LEADS[:n_leads]:
        (traces,) = zip(*(row.traces for row in rows if row.traces[0].lead == lead), strict=True)
        assert traces[0].start == 0
        assert traces[-1].stop == seconds * 250
        assert all(a.stop == b.start for a, b in itertools.pairwise(traces))
    assert sum(row.marked for row in rows) == n_rows / n_leads


def test_a_sheet_is_true_to_scale_and_the_same_every_time(synthetic, tmp_path):
    from matplotlib.image import imread

    excerpt = take_excerpt(synthetic, "00001", None, 0, None)
    digests = set()
    for number in range(2):
        write_sheet(excerpt, tmp_path / f"{number}.png")
        digests.add(hashlib.sha256((tmp_path / f"{number}.png").read_bytes()).digest())
    assert len(digests) == 1
    pixels = imread(tmp_path / "0.png")
    # 10 s at 25 mm/s, the calibration pulse and two margins, at 160 dots an inch.
    assert abs(pixels.shape[1] - (250 + 10 + 2 * 5) / 25.4 * 160) <= 1
    pink = (np.abs(pixels[:, :, :3] - np.array([238, 167, 159]) / 255) < 0.02).all(axis=2)
    columns = np.flatnonzero(pink.mean(axis=0) > 0.3)
    lines = columns[np.r_[True, np.diff(columns) > 3]]
    assert np.median(np.diff(lines)) * 25.4 / 160 == pytest.approx(5, abs=0.1)


def test_a_users_matplotlib_settings_change_nothing(synthetic, tmp_path):
    import matplotlib

    excerpt = take_excerpt(synthetic, "00001", ("I",), 0, 2)
    write_sheet(excerpt, tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "font.family": "serif"}):
        write_sheet(excerpt, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_beats_grades_and_faults_leave_ink(day, tmp_path):
    from matplotlib.image import imread

    def colored(excerpt, color):
        write_sheet(excerpt, tmp_path / "sheet.png")
        pixels = imread(tmp_path / "sheet.png")[:, :, :3]
        return int((np.abs(pixels - np.array(color) / 255) < 0.05).all(axis=2).sum())

    bare = Excerpt("day", replace(day.record, annotations=Annotations()), 15, 86_400)
    green, red, odd_beat = (46, 125, 50), (198, 40, 40), (176, 0, 32)
    for color in (green, red, odd_beat):
        assert colored(day, color) > 30 > colored(bare, color) + 29
    shade = (226, 215, 231)
    assert colored(with_fault(bare, "flat_line", None, 0), shade) > 10_000 > colored(bare, shade)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_looked_at(name, synthetic, tmp_path):
    excerpt = take_excerpt(synthetic, "00003", ("I", "V2"), 0, None)
    faulty = with_fault(excerpt, name, None, seed=3)
    marked = [s for s in faulty.record.annotations.stretches if s.kind == "fault"]
    assert marked == [Stretch(250, 750, "fault", name)]
    changed = np.flatnonzero((faulty.record.adc_counts != excerpt.record.adc_counts).any(axis=1))
    assert 250 <= changed[0] < changed[-1] < 750
    assert name.replace("_", " ") in faulty.remark
    write_drawing(faulty, tmp_path / "sheet.png")
    assert is_png((tmp_path / "sheet.png").read_bytes())


def test_a_short_excerpt_is_faulty_throughout(synthetic):
    excerpt = take_excerpt(synthetic, "00003", ("I",), 2, 3)
    faulty = with_fault(excerpt, "flat_line", None, 0)
    assert faulty.record.annotations.stretches[-1] == Stretch(0, 300, "fault", "flat_line")


def test_a_page_is_self_contained_and_escapes_what_it_shows(day):
    record = replace(day.record, record_id="<b>7</b>", subject_id="<script>x</script>")
    page = excerpt_page(replace(day, record=record))
    assert "<script src=" not in page
    assert "<link" not in page
    assert "<h1>day record &lt;b&gt;7&lt;/b&gt;</h1>" in page
    assert "<script>x" not in page
    assert 'name="viewport"' in page
    assert "quality 3, unusable, 67 % agree" in page


@pytest.mark.parametrize("suffix", ["png", "html", "PNG"])
def test_show_writes_what_the_name_asks_for(suffix, tmp_path):
    out = tmp_path / "new" / f"record.{suffix}"
    result = show(
        *("synthetic", "00003", "--data", "n_subjects=8", "--leads", "I,v2", "--start", 2),
        *("--seconds", 4, "--fault", "muscle", "--snr", 0, "--seed", 5, "--out", out),
        *("--cache", tmp_path, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert (shown["leads"], shown["start_s"], shown["seconds"]) == (["I", "V2"], 2.0, 4.0)
    assert shown["stretches"][-1]["label"] == "muscle"
    data = out.read_bytes()
    assert is_png(data) if suffix != "html" else b"muscle at 0 dB added, seed 5" in data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "a.pdf"), "error: out must end in .html or .png, got a.pdf"),
        (("--out", "record"), "error: out must end in .html or .png, got record"),
        (("--start", "nan"), "error: start must be in the 10 s of record 00001, got nan"),
        (("--start", "11"), "error: start must be in the 10 s of record 00001, got 11"),
        (("--start", "5", "--seconds", "6"), "error: the stretch must end in the 10 s"),
        (("--fault", "rust"), "error: fault must be one of baseline_wander, muscle"),
        (("--fault", "muscle", "--snr", "nan"), "error: snr must be a number of dB, got nan"),
        (("--fault", "lead_off", "--snr", "3"), "error: snr is for baseline_wander, muscle"),
        (("--snr", "3"), "error: snr needs a fault"),
        (("--fault", "muscle", "--seconds", "0.5"), "error: noise must last a second"),
        (("--leads", ""), "error: leads must be one or more"),
        (("--leads", "I,X"), "error: lead must be one of"),
    ],
)
def test_show_says_in_one_line_what_is_wrong(arguments, message, tmp_path):
    out = () if "--out" in arguments else ("--out", tmp_path / "a.png")
    result = show(
        *("synthetic", "00001", "--data", "n_subjects=8", "--cache", tmp_path), *out, *arguments
    )
    assert result.exit_code == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))
