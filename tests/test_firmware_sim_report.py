"""The report: what the page shows is what report.json holds, and the page loads nothing."""

import html
import json
import re
from dataclasses import replace
from functools import reduce
from types import SimpleNamespace

import numpy as np
import pytest

from datasets import SUPERCLASSES, EcgRecord
from datasets.groups import group_windows
from datasets.reader import RecordReader
from export.boards import load_board
from firmware_sim import report as report_module
from firmware_sim.engines import InstructionCounts
from firmware_sim.measures import measure
from firmware_sim.replay import Replay
from firmware_sim.report import Provenance, headlines, write_report
from firmware_sim.strips import choose_strips, range_mv
from tests.bundles import bare_bundle

THRESHOLD = 1000
BOARD = load_board("qemu-m4")
N_WINDOWS = 120
IMAGE = SimpleNamespace(flash_bytes=92_592, ram_bytes=30_384)
PROVENANCE = Provenance(
    dataset="synthetic",
    source="A data set, its licence.",
    split="test",
    leads=("MLII",),
    engine="host",
    command="python -m firmware_sim replay build/test",
    n_listed=200,
    n_absent=80,
    notes=("Notes & remarks <first>.",),
)


def make_replay():
    rng = np.random.default_rng(0)
    carried = rng.integers(5, size=N_WINDOWS)
    scores = rng.normal(700, 250, N_WINDOWS).astype(np.int64) + 200 * (carried == 4)
    accepted = scores <= THRESHOLD
    labels = rng.integers(4, size=N_WINDOWS)
    return Replay(
        record_ids=np.array([f"r{i}" for i in range(N_WINDOWS)]),
        subject_ids=np.array([f"p{i // 2}" for i in range(N_WINDOWS)]),
        starts=np.zeros(N_WINDOWS, np.int64),
        scores=scores,
        accepted=accepted,
        labels=np.where(accepted, labels, -1),
        labels_alone=labels,
        truth=np.eye(5, dtype=bool)[carried],
        clean=rng.random(N_WINDOWS) < 0.7,
        quality=np.zeros(N_WINDOWS, np.int8),
        ages=rng.uniform(20, 90, N_WINDOWS),
        instructions=InstructionCounts((2e6, 3e6, 4e6) * 40, (5e6,) * N_WINDOWS, 1e6, 9000, 90.0),
        instructions_alone=InstructionCounts(
            (0.0,) * N_WINDOWS, (5e6,) * N_WINDOWS, 1e6, 9000, 90.0
        ),
    )


def make_opener(replay, leads=("I",), **fields):
    def open_record(record_id):
        index = replay.record_ids.tolist().index(record_id)
        beat = np.zeros((1000, len(leads)), np.int16)
        beat[50::80] = 900
        record = EcgRecord(
            record_id=record_id,
            subject_id=str(replay.subject_ids[index]),
            fs=100.0,
            leads=leads,
            adc_counts=beat,
            adc_gain=1000.0,
            superclasses=frozenset(np.array(SUPERCLASSES)[replay.truth[index]].tolist()),
            **fields,
        )
        return RecordReader(record, len(beat), lambda start, stop: beat[start:stop])

    return open_record


def write(folder, replay=None, bundle=None, opener=None):
    replay, bundle = replay or make_replay(), bundle or bare_bundle(THRESHOLD)
    measured = measure(replay, bundle, BOARD, IMAGE)
    opener = opener or make_opener(replay)
    page = write_report(measured, replay, bundle, PROVENANCE, opener, folder)
    return page.read_text(), json.loads((folder / "report.json").read_text())


def items_of(page):
    """Return the plots in the page, as JSON."""
    return re.search(r'id="items">(.*?)</script>', page, re.DOTALL)[1]


def visible(page):
    """Return the page without its scripts."""
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"))


def undiagnosed(grades=(0,)):
    """Return the replay of records without a superclass, with windows of these grades."""
    quality = np.resize(np.array(grades, np.int8), N_WINDOWS)
    return replace(make_replay(), truth=np.zeros((N_WINDOWS, 5), bool), quality=quality)


@pytest.mark.parametrize(
    ("replay", "n_cards"),
    [(make_replay(), 10), (undiagnosed(), 6), (undiagnosed([0, 1, 2, 3]), 9)],
    ids=["diagnosed", "undiagnosed", "graded"],
)
def test_headline_figures_equal_report_json(replay, n_cards, tmp_path):
    page, values = write(tmp_path, replay)
    shown = dict(re.findall(r'data-key="([\w.]+)">([^<]+)<', page))
    cards = headlines(measure(replay, bare_bundle(THRESHOLD), BOARD, IMAGE))
    assert list(shown) == [card.key for card in cards]
    assert len(shown) == n_cards
    assert "n/a" not in shown.values()
    for key, text in shown.items():
        found = reduce(
            lambda v, k: v and (v[int(k)] if isinstance(v, list) else v[k]), key.split("."), values
        )
        number = found["value"] if isinstance(found, dict) else found
        printed = float(re.sub(r"[^\d.-]", "", html.unescape(text).replace("\u2212", "-")))
        scale = 100 if "%" in text else 1 / 1024 if "KiB" in text else 1
        assert printed == pytest.approx(scale * number, abs=0.0501 if "." in text else 0.5)


def test_the_page_loads_nothing_from_elsewhere(written):
    page, _ = written
    assert re.findall(r"<(?:link|img|iframe|object|embed|base)\b", page.split("<script")[0]) == []
    assert re.findall(r"<script[^>]*\bsrc", page) == []
    assert re.findall(r"(?:https?:)?//\S+", visible(page)) == []
    assert "default-src 'none'" in page  # and the browser is told to refuse it all


def test_the_page_says_what_was_replayed(written):
    page, values = written
    text = html.unescape(visible(page))
    for said in (
        "Not a medical device",
        "abc1234",
        "Notes & remarks <first>.",
        "python -m firmware_sim replay build/test",
        "every diagnosis of an unseen window is wrong",
        "80 of which are not on the disk",
        "of 10 s, lead MLII)",
    ):
        assert said in text
    assert values["bundle"]["seeds"] == {"filter": 7, "classifier": 7}
    assert values["provenance"]["engine"] == "host"


def test_equal_input_gives_equal_bytes(written, tmp_path):
    assert write(tmp_path) == written


def test_every_plot_has_its_place_in_the_page(written):
    page, values = written
    items = json.loads(items_of(page))
    targets = [item["target_id"] for item in items]
    assert targets[:2] == ["roc", "scores"]
    assert len(targets) == 2 + len(values["strips"])
    assert all(f'<div id="{target}">' in page for target in targets)


def test_an_engine_that_does_not_count_is_said_to(tmp_path):
    replay = replace(make_replay(), instructions=None, instructions_alone=None)
    page, values = write(tmp_path, replay)
    assert values["instructions"] is None
    assert "Not counted: the host engine" in visible(page)


def test_text_from_recordings_cannot_become_markup(tmp_path):
    attack = "</script><script>alert(1)</script>"
    ids = np.array([f"{attack}{i}" for i in range(N_WINDOWS)])
    replay = replace(make_replay(), record_ids=ids)
    opener = make_opener(replay, noise_flags=frozenset({attack}), sex=attack)
    page, values = write(tmp_path, replay, opener=opener)
    assert attack not in page
    assert html.escape(attack) in page
    assert values["strips"][0]["record_id"].startswith(attack)


def test_without_held_out_class_the_page_says_why(tmp_path):
    page, values = write(tmp_path, bundle=bare_bundle(THRESHOLD, hold_out=None))
    assert "nothing held out" in page
    assert '<div id="roc">' not in page
    assert values["rejects"]["multi_label"]["true_rejects_unseen"]["value"] is None


def test_a_card_that_nothing_can_be_measured_for_is_left_out(tmp_path):
    replay = replace(make_replay(), instructions=None, instructions_alone=None)
    known = measure(replay, bare_bundle(THRESHOLD, hold_out=None), BOARD)
    assert [card.key for card in headlines(known)] == [
        "coverage",
        "classifier.accuracy_without_filter",
        "classifier.accuracy_with_filter",
        "classifier.gain_points",
        "rejects.multi_label.false_rejects_clean",
    ]


def test_of_undiagnosed_records_the_page_says_what_was_decided(tmp_path):
    page, values = write(tmp_path, undiagnosed())
    text = visible(page)
    assert "There is no diagnosis to compare with" in text
    assert "Labels given" in text
    for other in ("AUROC", "Accuracy of the diagnoses", "No figures of unseen windows"):
        assert other not in text.split("What the figures mean")[0]
    assert '<div id="roc">' not in page
    assert "The other 100 records are in report.json" in text
    assert len(values["decisions"]["rejected_by_record"]) == N_WINDOWS
    titles = [strip["title"] for strip in values["strips"]]
    assert titles[0] == "Accepted: a typical one"
    assert len(titles) == 4
    assert "truth" not in items_of(page)


def test_of_graded_records_the_page_tells_the_grades_apart(tmp_path):
    page, values = write(tmp_path, undiagnosed([1, 2, 3]))
    assert "120 of the windows lie wholly in graded signal" in visible(page)
    assert [s["title"] for s in values["strips"]] == [
        f"Grade {grade}: {verdict}"
        for grade in ("1, clean", "2, noisy", "3, unusable")
        for verdict in ("accepted", "rejected")
    ]
    assert "graded 3, unusable" in items_of(page)
    assert [label in items_of(page) for label in ("grade 1: clean", "all windows")] == [True, False]


def test_no_window_passing_is_no_reason_for_an_empty_card(tmp_path):
    nothing = {"accepted": np.zeros(N_WINDOWS, bool), "labels": np.full(N_WINDOWS, -1)}
    replay = replace(undiagnosed(), **nothing)
    page, values = write(tmp_path, replay)
    assert values["decisions"]["rejected"]["value"] == 1.0
    assert values["decisions"]["labels_with_filter"]["NORM"]["value"] is None
    assert "Most frequent label" not in page


def test_only_three_of_many_leads_are_drawn(tmp_path):
    replay, leads = make_replay(), ("I", "II", "III", "V1")
    page, _ = write(
        tmp_path, replay, bare_bundle(THRESHOLD, leads=leads), make_opener(replay, leads)
    )
    assert "the first 3 of 4 leads" in page
    assert page.count('<div id="strip-0-') == report_module.LEADS_DRAWN_MAX


def test_strips_are_extremes_and_medians_of_their_kind():
    replay, bundle = make_replay(), bare_bundle(THRESHOLD)
    groups = group_windows(replay.truth, "HYP")
    strips = {s.title: s.index for s in choose_strips(replay, bundle, groups)}
    assert len(strips) == len(set(strips.values())) == 8
    known = groups.in_distribution & replay.clean & ~replay.accepted
    assert replay.scores[strips["False reject"]] == replay.scores[known].max()
    missed = groups.unseen & replay.accepted
    assert replay.scores[strips["Unseen, missed"]] == replay.scores[missed].min()


def test_kinds_without_a_window_are_left_out():
    replay = replace(make_replay(), accepted=np.ones(N_WINDOWS, bool))
    replay = replace(replay, labels=replay.labels_alone)
    strips = choose_strips(replay, bare_bundle(THRESHOLD), group_windows(replay.truth, "HYP"))
    assert [s.title for s in strips] == [
        "Accepted, diagnosed right",
        "Accepted, diagnosed wrong",
        "Unseen, missed",
        "Noisy, accepted",
    ]


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ([0.0, 0.0], (-1.0, 1.0)),  # flat: two millivolts of paper around it
        ([-0.2, 1.1], (-0.5, 1.5)),
        ([-1.2, 1.6], (-1.5, 2.0)),
        ([0.0] * 9 + [30.0], (-3.0, 3.0)),  # an electrode artefact does not squash the rest
    ],
)
def test_the_paper_covers_whole_squares(signal, expected):
    assert range_mv(np.array(signal)) == expected
