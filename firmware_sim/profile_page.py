"""A profile for people: tables for the terminal, one self-contained HTML page; and its JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from .profile import NetworkCost, Profile

TEMPLATE = "profile.html.jinja"
N_FUNCTIONS = 15
LABEL_SHARE_MIN = 0.045
"""Share of the bar's width from which a part has room for its name."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a flame-like bar; `left` and `width` are shares of the whole."""

    label: str
    kind: str
    left: float
    width: float
    title: str


def write_profile(profile: Profile, out: Path) -> Path:
    """Write `out`/profile.json and `out`/profile.html and return the latter.

    Equal profiles give equal bytes: neither file holds a date.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(profile.to_json(), indent=2, allow_nan=False)
    (out / "profile.json").write_text(text + "\n", encoding="utf-8")
    page = out / "profile.html"
    page.write_text(_html(profile), encoding="utf-8")
    return page


def profile_tables(profile: Profile) -> Group:
    """Return what the terminal shows."""
    return Group(_instruction_table(profile), _memory_table(profile))


def _instruction_table(profile: Profile) -> Table:
    board, second = profile.board, profile.per_ecg_second
    total = sum(second.values())
    table = _table(f"{profile.bundle} on {board.name} ({board.cpu})")
    table.add_column("", no_wrap=True)
    for name in ("MACs", "instructions", "a second of ECG", "share", "ms, estimate"):
        table.add_column(name, justify="right", no_wrap=True)

    def add(name: str, macs: str, instructions: str, per_second: float) -> None:
        ms = f"{board.milliseconds(per_second):,.2f}"
        share = f"{per_second / total:.1%}"
        table.add_row(name, macs, instructions, f"{per_second:,.0f}", share, ms)

    add("signal chain", "", f"{profile.chain:,.0f} a sample", second["signal chain"])
    for network in profile.networks:
        cost = "not run" if network.instructions is None else f"{network.instructions:,.0f} a run"
        table.add_section()
        name = f"{network.name}, streaming" if network.streams else network.name
        add(name, f"{network.macs:,}", cost, second[network.name])
        for layer in network.layers:
            macs = f"{layer.macs:,}" if layer.macs else ""
            per_second = layer.instructions / profile.hop_s
            add(f"  {layer.name}", macs, f"{layer.instructions:,.0f}", per_second)
    table.add_section()
    add("every window accepted", "", "", total)
    table.caption = (
        f"Counted over {profile.n_decisions} decisions, {profile.n_accepted} accepted. Estimates: "
        f"{board.clock_hz / 1e6:g} MHz, {board.cycles_per_instruction} cycles an instruction "
        f"assumed. {_energy(profile)}"
    )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)


def _energy(profile: Profile) -> str:
    energy = profile.board.microjoules(sum(profile.per_ecg_second.values()))
    if energy is None:
        return f"No estimate of energy: {profile.board.energy_source}."
    return (
        f"Energy, estimate: {energy:,.0f} uJ a second of ECG at "
        f"{profile.board.energy_nj_per_cycle:g} nJ a cycle, {profile.board.energy_source}."
    )


def _memory_table(profile: Profile) -> Table:
    memory, board = profile.memory, profile.board
    table = _table("Memory, bytes")
    for name in ("flash", "", "RAM", ""):
        table.add_column(name, justify="right" if name == "" else "left")
    flash, ram = list(memory.flash.items()), list(memory.ram.items())
    ram.append(("  stack, deepest", memory.stack_used))
    for index in range(max(len(flash), len(ram))):
        cells = [rows[index] if index < len(rows) else ("", None) for rows in (flash, ram)]
        table.add_row(
            *(text for name, n in cells for text in (name, "" if n is None else f"{n:,}"))
        )
    table.add_section()
    table.add_row(
        "without the port",
        f"{memory.product_flash:,}",
        "arena, pipeline",
        f"{memory.product_ram:,}",
    )
    table.add_row("board", f"{board.flash_bytes:,}", "board", f"{board.ram_bytes:,}")
    return table


def _html(profile: Profile) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    second = profile.per_ecg_second
    functions = [f for f in profile.functions if not f.source.startswith("ports/")]
    return environment.get_template(TEMPLATE).render(
        profile=profile,
        board=profile.board,
        memory=profile.memory,
        second=second,
        total=sum(second.values()),
        rows=list(_bars(profile)),
        flash=list(_stack("flash", profile.memory.flash)),
        ram=list(_stack("ram", profile.memory.ram)),
        label_min=LABEL_SHARE_MIN,
        functions=functions[:N_FUNCTIONS],
        functions_total=sum(f.instructions for f in functions),
        energy=_energy(profile),
    )


def _bars(profile: Profile) -> Iterator[list[Bar]]:
    """Yield the rows of the flame: the whole, its parts, the layers of the networks."""
    second = profile.per_ecg_second
    total = sum(second.values())
    yield [Bar("a second of ECG", "whole", 0.0, 1.0, f"{total:,.0f} instructions")]
    networks = {network.name: network for network in profile.networks}
    parts: list[Bar] = []
    layers: list[Bar] = []
    left = 0.0
    for name, per_second in second.items():
        width = per_second / total
        title = f"{name}: {per_second:,.0f} instructions, {width:.1%}"
        parts.append(Bar(name, name.split()[-1], left, width, title))
        if name in networks:
            layers += _layer_bars(networks[name], profile.hop_s, total, left)
        left += width
    yield parts
    yield layers


def _layer_bars(network: NetworkCost, hop_s: float, total: float, left: float) -> Iterator[Bar]:
    for layer in network.layers:
        width = layer.instructions / hop_s / total
        whole = layer.macs > 0 and not network.streams  # else only some of the MACs are new
        per_mac = f", {layer.instructions / layer.macs:.2f} a MAC" if whole else ""
        title = f"{network.name} {layer.name}: {layer.instructions:,.0f} instructions, {width:.1%}"
        yield Bar(layer.name, layer.op.lower(), left, width, title + per_mac)
        left += width


def _stack(memory: str, parts: dict[str, int]) -> Iterator[Bar]:
    total = sum(parts.values())
    left = 0.0
    for index, (name, n_bytes) in enumerate(parts.items()):
        title = f"{name}: {n_bytes:,} bytes of {memory}"
        yield Bar(name, f"m{index}", left, n_bytes / total, title)
        left += n_bytes / total
