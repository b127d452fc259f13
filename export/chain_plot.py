"""The frequency responses of the signal chain for every sensor, as one picture.

Above the whole range with the stop-band's limit, below the pass-band a hundred times finer. What is
drawn is the response of the integer coefficients, of notch and resampler; the high-pass, which is
the same for all, stands at the left end. The same chains give the same bytes with the same version
of matplotlib.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.records import FloatArray

from .chain_report import highpass_response, notch_response, resampler_response
from .resampler import PASS_BAND, STOP_BAND
from .signal_chain import SignalChain

SIZE_INCH, DOTS_PER_INCH = (9.0, 7.2), 150
FLOOR_DB = -100.0
FINE_DB = (-0.08, 0.02)
RATES_SHOWN = 2.0  # the picture ends at this many times the model's rate
GRID: dict[str, Any] = {"color": "#e3e6ea", "lw": 0.8}
LIMIT: dict[str, Any] = {"color": "#57606a", "lw": 1.0, "ls": (0, (4, 3))}


def check_suffix(out: Path) -> None:
    """Raise ValueError where a picture cannot be written to a file of that name."""
    if out.suffix.lower() not in (".png", ".html"):
        raise ValueError(f"out must end in .png or .html, got {out}")


def write_responses(chains: Sequence[SignalChain], out: Path) -> None:
    """Draw the chains, which lead to one rate, to `out`: a PNG file, or an HTML page with it.

    Raises
    ------
    ValueError : the suffix is another one.
    """
    check_suffix(out)
    image = draw_responses(chains)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".png":
        out.write_bytes(image)
        return
    data = base64.b64encode(image).decode("ascii")
    out.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{_title(chains)}</title>\n'
        f'<img style="max-width: 100%" alt="{_title(chains)}" src="data:image/png;base64,{data}">\n'
        "</html>\n",
        encoding="utf-8",
    )


def draw_responses(chains: Sequence[SignalChain]) -> bytes:
    """Return the picture as PNG."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own settings are
        figure = Figure(figsize=SIZE_INCH, dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)  # draws without a display
        whole, fine = figure.subplots(2, 1, height_ratios=(3, 2))
        for number, chain in enumerate(chains):
            frequency_hz, gain_db = response(chain)
            color = matplotlib.colormaps["viridis"](0.95 * number / max(len(chains) - 1, 1))
            for axes in (whole, fine):
                axes.plot(frequency_hz, gain_db, color=color, lw=1.1, label=f"{chain.fs:g} Hz")
        _dress_whole(whole, chains)
        _dress_fine(fine, chains)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def response(chain: SignalChain) -> tuple[FloatArray, FloatArray]:
    """Return the gain in dB of the whole chain at frequencies in Hz, to half the sensor's rate."""
    frequency_hz, gain_db = resampler_response(chain)
    seen = frequency_hz <= min(chain.fs / 2, RATES_SHOWN * chain.fs_target)
    frequency_hz, gain_db = frequency_hz[seen], gain_db[seen]
    gain_db = gain_db + notch_response(chain, frequency_hz)
    return frequency_hz, gain_db + highpass_response(chain, frequency_hz)


def _dress_whole(axes: Any, chains: Sequence[SignalChain]) -> None:
    fs_target = chains[0].fs_target
    axes.set(xlim=(0, RATES_SHOWN * fs_target), ylim=(FLOOR_DB, 5), ylabel="gain, dB")
    axes.set_title(_title(chains), loc="left", weight="bold")
    axes.axvline(fs_target / 2, **LIMIT)
    text: dict[str, Any] = {"color": LIMIT["color"], "size": 8, "ha": "right"}
    axes.text(fs_target / 2, FLOOR_DB + 4, "half the model's rate ", **text)
    axes.hlines(-60, STOP_BAND * fs_target, RATES_SHOWN * fs_target, **LIMIT)
    axes.text(RATES_SHOWN * fs_target, -58, "60 dB ", **text)
    axes.legend(title="sensor", ncols=2, fontsize=8, title_fontsize=8, loc="upper right")
    _rule(axes)


def _dress_fine(axes: Any, chains: Sequence[SignalChain]) -> None:
    edge = PASS_BAND * chains[0].fs_target
    axes.set(
        xlim=(0, 1.1 * edge), ylim=FINE_DB, xlabel="frequency at the sensor, Hz", ylabel="gain, dB"
    )
    axes.set_title("The pass-band", loc="left", size=10)
    axes.axvline(edge, **LIMIT)
    axes.hlines((-0.01, 0.01), 0, edge, **LIMIT)
    _rule(axes)


def _rule(axes: Any) -> None:
    axes.grid(**GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _title(chains: Sequence[SignalChain]) -> str:
    notch = "" if chains[0].mains_hz is None else f", notch at {chains[0].mains_hz:g} Hz"
    return f"From every sensor to a model of {chains[0].fs_target:g} Hz{notch}"
