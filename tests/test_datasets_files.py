"""Own recordings: WFDB, EDF and CSV, and what `--data` says of them."""

import numpy as np
import pyedflib
import pytest
import wfdb

from datasets import open_dataset
from datasets.csv_files import CsvOptions
from datasets.files import FileSettings
from tests.wfdb_folders import counts_of, write_signals

N = 1000
VALUES_MV = np.round(np.sin(np.arange(N)[:, None] / np.array([17.0, 29.0])), 3)


@pytest.fixture
def csv_file(tmp_path):
    """Return a function that writes a CSV file and returns the data set `--data` opens."""

    def write(text, options="fs=250,units=mV"):
        path = tmp_path / "watch.csv"
        path.write_text(text, encoding="utf-8")
        return open_dataset("files", f"{path},{options}" if options else str(path))

    return write


def lines_of(values, delimiter=","):
    return "".join(delimiter.join(f"{v:.3f}" for v in row) + "\n" for row in values)


def write_edf(path, values_mv, rates=(250, 250), units="mV", labels=("ECG I", "ECG II"), kind=0):
    """Write an EDF file of two signals; `kind` 0 is EDF, 1 EDF+."""
    with pyedflib.EdfWriter(str(path), len(labels), [0, 1][kind]) as file:
        file.setSignalHeaders(
            [
                {
                    "label": label,
                    "dimension": units,
                    "sample_frequency": rate,
                    "physical_min": -3.2768,
                    "physical_max": 3.2767,
                    "digital_min": -32768,
                    "digital_max": 32767,
                    "prefilter": "",
                    "transducer": "",
                }
                for label, rate in zip(labels, rates, strict=True)
            ]
        )
        # Of a slower signal, as many samples as belong to the same time.
        lengths = [len(values_mv) * rate // rates[0] for rate in rates]
        columns = zip(values_mv.T, lengths, strict=True)
        file.writeSamples([np.ascontiguousarray(column[:length]) for column, length in columns])
    return path


def test_the_text_of_data_is_a_path_and_options():
    settings = FileSettings.from_text("a, b.csv,fs=250,units=uV,gain=500,baseline=-3,leads=I+II")
    assert settings.path.name == "a, b.csv"
    assert settings.csv == CsvOptions(250.0, "uV", 500.0, -3)
    assert settings.leads == ("I", "II")
    assert settings.channels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x.csv,rate=250", "option must be one of fs, .* got 'rate'"),
        ("x.csv,fs=0", "fs must be a positive number of Hz, got '0'"),
        ("x.csv,fs=nan", "fs must be a positive number of Hz, got 'nan'"),
        ("x.csv,fs=1e999", "fs must be a positive number of Hz, got '1e999'"),
        ("x.csv,units=volt", "units must be one of mV, .* got 'volt'"),
        ("x.csv,gain=-1", "gain must be a positive number"),
        ("x.csv,baseline=1.5", "baseline must be a whole number"),
        ("", "files needs --data"),
        ("x.txt", r"a recording must be one of \.hea, \.edf, \.csv, got \.txt"),
        ("x.csv", "x.csv: must be there, got no file"),
    ],
)
def test_wrong_settings_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        open_dataset("files", text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("heading", ["", "lead I{}lead II\n"])
def test_csv_becomes_counts_of_a_microvolt(csv_file, delimiter, heading):
    dataset = csv_file(heading.format(delimiter) + lines_of(VALUES_MV, delimiter))
    record = dataset.load("watch.csv")
    assert np.array_equal(record.adc_counts, np.rint(VALUES_MV * 1000))
    assert (record.fs, record.adc_gain, record.baseline) == (250.0, 1000.0, 0)
    assert record.leads == (("lead I", "lead II") if heading else ("column 1", "column 2"))
    assert dataset.record_ids("test") == ["watch.csv"]


@pytest.mark.parametrize(("units", "per_mv"), [("mV", 1), ("uV", 1e3), ("µV", 1e3), ("V", 1e-3)])
def test_units_and_gain_are_applied(csv_file, units, per_mv):
    text = "\n".join(f"{v!r}" for v in (VALUES_MV[:, 0] * per_mv).tolist())
    record = csv_file(text, f"fs=250,units={units},gain=200,baseline=7").load("watch.csv")
    assert np.array_equal(record.adc_counts[:, 0], np.rint(VALUES_MV[:, 0] * 200) + 7)
    assert np.abs(record.signal_mv[:, 0] - VALUES_MV[:, 0]).max() <= 0.5 / 200 + 1e-9


def test_counts_stay_counts(csv_file):
    record = csv_file("-2048\n5\n2047\n", "fs=500,units=counts,gain=300,baseline=10").load(
        "watch.csv"
    )
    assert record.adc_counts.ravel().tolist() == [-2048, 5, 2047]
    assert (record.adc_gain, record.baseline) == (300.0, 10)


def test_a_time_column_is_no_lead_but_must_be_even(csv_file):
    rows = [(i / 250, 0.1) for i in range(10)]
    assert csv_file("time,ECG\n" + lines_of(rows)).load("watch.csv").leads == ("ECG",)
    late = [*rows[:5], *((t + 0.004, v) for t, v in rows[5:])]
    with pytest.raises(ValueError, match=r"watch\.csv, line 7: time must go up by .* got 0\.008 s"):
        csv_file("time,ECG\n" + lines_of(late))


def test_columns_can_be_chosen_and_named(csv_file):
    text = "a,b,c\n" + lines_of(np.column_stack([VALUES_MV, VALUES_MV[:, :1] * 2]))
    record = csv_file(text, "fs=250,units=mV,channels=c+1,leads=II+I").load("watch.csv", ["I"])
    assert record.leads == ("I",)
    assert np.array_equal(record.adc_counts[:, 0], np.rint(VALUES_MV[:, 0] * 1000))
    with pytest.raises(ValueError, match="channels must be among a, b, c, got d"):
        csv_file(text, "fs=250,units=mV,channels=d")
    with pytest.raises(ValueError, match="leads must name its 3 signals a, b, c, got I"):
        csv_file(text, "fs=250,units=mV,leads=I")


def test_options_may_stand_in_the_file(csv_file):
    text = "# made by a watch\n# fs=360,units=uV\nI\n100\n200\n"
    assert csv_file(text, "").load("watch.csv").adc_counts.ravel().tolist() == [100, 200]
    assert csv_file(text, "fs=360").fs == 360.0
    with pytest.raises(ValueError, match=r"watch\.csv, line 2: fs is 360\.0 here, got fs=250\.0"):
        csv_file(text, "fs=250")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1\n2\n", "fs=250", "units must be given"),
        ("1\n2\n", "units=mV", "fs must be given"),
        ("1\n2\n", "fs=250,units=counts", "gain, in counts per mV, must be given"),
        ("", "fs=250,units=mV", "must hold lines of numbers, got none"),
        ("I\n", "fs=250,units=mV", "must hold lines of numbers, got none"),
        ("1\n2,3\n", "fs=250,units=mV", "line 2: must have 1 columns, got 2"),
        ("1\nNaN\n", "fs=250,units=mV", "line 2: column 1 must be a finite number .* got 'NaN'"),
        ("1\ninf\n", "fs=250,units=mV", "line 2: column 1 must be a finite number .* got 'inf'"),
        ("1\n\n2\n", "fs=250,units=mV", "line 2: column 1 must be a finite number .* got ''"),
        ("NaN\n1\n", "fs=250,units=mV", "line 1: column 1 must be a finite number .* got 'NaN'"),
        ("x,5\n1,2\n", "fs=250,units=mV", "line 1: column 1 must be a finite number .* got 'x'"),
        ("\n1\n", "fs=250,units=mV", "line 1: column 1 must be a finite number .* got ''"),
        ("1\n2 mV\n", "fs=250,units=mV", "line 2: .* got '2 mV'"),
        ("1\n2\0\n", "fs=250,units=mV", "line 2: .* got '2.x00'"),
        ("I,II\n1,2\n3,x\n", "fs=250,units=mV", "line 3: II must be a finite number .* got 'x'"),
        (
            "1\n-500\n",
            "fs=250,units=mV",
            "line 2: column 1 must be within .* got -500; are the units",
        ),
        ("1\n1e300\n", "fs=250,units=mV", r"line 2: .* got 1e\+300"),
        ("1\n1.5\n", "fs=1,units=counts,gain=1", "line 2: counts must be whole numbers, got 1.5"),
        ("# fs=fast\n1\n", "units=mV", "line 1: fs must be a positive number of Hz, got 'fast'"),
        ("9" * 20_000, "fs=250,units=mV", "line 1: must have fewer than 10000 characters"),
        ("time\n0\n1\n", "fs=1,units=mV", "must have a column with a lead, got none"),
    ],
)
def test_broken_text_is_named_by_its_line(csv_file, text, options, message):
    with pytest.raises(ValueError, match=message):
        csv_file(text, options)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "watch.csv"
    path.write_bytes(b"1\n\xff\xfe\n")
    with pytest.raises(ValueError, match="must be text in UTF-8"):
        open_dataset("files", f"{path},fs=250,units=mV")


def test_a_wfdb_record_keeps_its_counts(tmp_path):
    write_signals(tmp_path, "holter", ("I", "II"), counts_of(5))
    record = open_dataset("files", tmp_path / "holter.hea").load("holter.hea")
    assert np.array_equal(record.adc_counts, counts_of(5))
    assert (record.adc_gain, record.baseline, record.leads) == (200.0, 1024, ("I", "II"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("x 1 250 9\n../../etc/passwd 16", r"line 2: file must be .* got '\.\./\.\./etc/passwd'"),
        ("x 1 250 9\n/etc/passwd 16", "line 2: file must be as WFDB writes it, got '/etc/passwd'"),
        ("x/2 1 250 9\nx_1 5\nx_2 4", "line 1: must describe one segment, got 2"),
        ("x 1 250 9\nx.dat 16x2", "line 2: samples per frame must be 1: .* got 2"),
        ("x 1 250 9\nx.dat 16:3", "line 2: skew must be 0, got 3"),
        ("x 1 250 9\nx.dat 516", "line 2: format must be one of 16, .* got 516"),
        ("x 1 -1 9\nx.dat 16", "line 1: fs must be positive, got -1"),
        ("x 1 0 9\nx.dat 16", "line 1: fs must be positive, got 0"),
        ("x 1\nx.dat 16", "line 1: fs must be there, got 'x 1'"),
        ("x 2 250 9\nx.dat 16", "line 1: number of signals must be 1, got 2"),
        ("x 1 250 9\nx.dat 16 200/mmHg", "units of signal 1 must be one of mV, .* got mmHg"),
        ("x 1 250 9\nx.dat 16 -200", "gain of signal 1 must be positive, got -200"),
        ("x 1 250 9\nx.dat 16 1e999", "gain of signal 1 must be positive, got inf"),
        ("x 1 250 8\nx.dat 16", r"x\.dat: must have 16 bytes for 8 samples of 1 leads .* got 18"),
        ("x 1 250 0\nx.dat 16", r"x\.dat: must have 0 bytes"),
        ("x 1 250 9\ny.dat 16", r"y\.dat: must be there, got no file"),
        ("# nothing\n", "record name must be there, got ''"),
        ("#" * 200_000, "a header must have at most 100000 bytes, got 200000"),
    ],
)
def test_a_header_that_breaks_a_rule_is_named_by_its_line(tmp_path, header, message):
    (tmp_path / "x.hea").write_text(header)
    (tmp_path / "x.dat").write_bytes(bytes(18))
    with pytest.raises(ValueError, match=message):
        open_dataset("files", tmp_path / "x.hea")


def test_a_header_may_leave_gain_and_length_out(tmp_path):
    (tmp_path / "x.hea").write_text("# Age: 50\n\nx 1 250\nx.dat 16\n")
    (tmp_path / "x.dat").write_bytes(bytes(18))
    reader = open_dataset("files", tmp_path / "x.hea").open("x.hea")
    assert (reader.n_samples, reader.record.adc_gain, reader.record.baseline) == (9, 200.0, 0)


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
def test_every_format_reads_alike_in_parts(tmp_path, fmt):
    counts = np.random.default_rng(0).integers(-100, 100, (501, 3))
    wfdb.wrsamp(
        "x",
        fs=250,
        units=["mV"] * 3,
        sig_name=["I", "II", "III"],
        d_signal=counts,
        fmt=[fmt] * 3,
        adc_gain=[100.0] * 3,
        baseline=[0] * 3,
        write_dir=str(tmp_path),
    )
    reader = open_dataset("files", tmp_path).open("x.hea", ["III", "I"])
    assert np.array_equal(reader.whole().adc_counts, counts[:, [2, 0]])
    assert np.array_equal(np.concatenate(list(reader.chunks(37))), counts[:, [2, 0]])


def test_leads_of_different_gain_come_to_one_scale(tmp_path):
    counts = np.random.default_rng(0).integers(-900, 900, (100, 2))
    wfdb.wrsamp(
        "x",
        fs=250,
        units=["mV", "uV"],
        sig_name=["I", "II"],
        d_signal=counts,
        fmt=["16"] * 2,
        adc_gain=[200.0, 0.5],
        baseline=[0, 30],
        write_dir=str(tmp_path),
    )
    dataset = open_dataset("files", tmp_path)
    alone, both = dataset.load("x.hea", ["I"]), dataset.load("x.hea")
    assert (alone.adc_gain, alone.adc_counts[:, 0].tolist()) == (200.0, counts[:, 0].tolist())
    assert (both.adc_gain, both.baseline) == (500.0, 0)
    expected_mv = np.column_stack([counts[:, 0] / 200, (counts[:, 1] - 30) / 500])
    assert np.abs(both.signal_mv - expected_mv).max() <= 0.5 / 500 + 1e-9


def test_a_missing_sample_is_named(tmp_path):
    counts = counts_of(5)
    counts[777, 1] = -2048
    write_signals(tmp_path, "holter", ("I", "II"), counts)
    reader = open_dataset("files", tmp_path).open("holter.hea")
    assert len(reader.read(0, 777)) == 777
    with pytest.raises(ValueError, match=r"holter\.dat: .* \(NaN\) at sample 777 of lead II"):
        list(reader.chunks(500))
    assert len(open_dataset("files", tmp_path).load("holter.hea", ["I"]).adc_counts) == len(counts)


@pytest.mark.parametrize("kind", [0, 1])
def test_edf_reads_in_parts(tmp_path, kind):
    path = write_edf(tmp_path / "night.edf", VALUES_MV, kind=kind)
    reader = open_dataset("files", path).open("night.edf", ["ECG II", "ECG I"])
    assert (reader.record.fs, reader.record.adc_gain, reader.record.baseline) == (250.0, 1e4, 0)
    whole = reader.whole()
    # EDFlib cuts off where it turns mV into counts, of which there are 10,000 a mV.
    assert np.abs(whole.signal_mv - VALUES_MV[:, ::-1]).max() < 1.01e-4
    assert np.array_equal(np.concatenate(list(reader.chunks(33))), whole.adc_counts)


def test_edf_signals_of_another_rate_or_unit_are_refused_and_can_be_left_out(tmp_path):
    path = tmp_path / "night.edf"
    write_edf(path, VALUES_MV, rates=(250, 125))
    with pytest.raises(ValueError, match="channels must have one rate, got ECG I 250 Hz, ECG II 1"):
        open_dataset("files", path)
    assert open_dataset("files", f"{path},channels=ECG I,leads=I").open("night.edf").n_samples == N
    write_edf(path, VALUES_MV, units="mmHg")
    with pytest.raises(ValueError, match=r"units of ECG I must be one of mV, .* got 'mmHg'"):
        open_dataset("files", path)


def test_a_cut_off_edf_is_refused_without_a_word_of_the_library(tmp_path, capfd):
    path = write_edf(tmp_path / "night.edf", VALUES_MV)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"must have 4768 bytes for 4 data records, got 4767"):
        open_dataset("files", path)
    assert capfd.readouterr() == ("", "")


def test_a_discontinuous_edf_is_refused(tmp_path):
    path = write_edf(tmp_path / "night.edf", VALUES_MV, kind=1)
    data = path.read_bytes()
    assert b"EDF+C" in data
    path.write_bytes(data.replace(b"EDF+C", b"EDF+D", 1))
    with pytest.raises(ValueError, match=r"night\.edf: must be an EDF file, got: .*discontinu"):
        open_dataset("files", path)


def test_files_that_say_it_themselves_take_no_options(tmp_path):
    path = write_edf(tmp_path / "night.edf", VALUES_MV)
    with pytest.raises(ValueError, match="fs is what the file itself says, got fs=500"):
        open_dataset("files", f"{path},fs=500")


def test_a_folder_is_all_its_recordings_at_one_rate(tmp_path):
    write_edf(tmp_path / "b.edf", VALUES_MV)
    (tmp_path / "a.csv").write_text("# fs=250,units=mV\n" + lines_of(VALUES_MV))
    (tmp_path / "notes.txt").write_text("not a recording")
    dataset = open_dataset("files", tmp_path)
    assert dataset.record_ids("test") == ["a.csv", "b.edf"]
    assert len(dataset.open("b.edf").read(0, 10)) == 10
    write_signals(tmp_path, "c", ("I", "II"), counts_of(5))
    with pytest.raises(ValueError, match=r"c\.hea: fs must be 250 Hz, that of .*a\.csv, got 360"):
        open_dataset("files", tmp_path).open("c.hea")
    with pytest.raises(ValueError, match="fs must be 500 Hz, as asked for, got 250"):
        open_dataset("files", tmp_path, fs=500)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold recordings"):
        open_dataset("files", tmp_path / "empty")
