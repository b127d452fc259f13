"""What comes first: the one table, what it says in sentences, and filters against baselines."""

from collections.abc import Callable, Sequence

from datasets.bootstrap import Estimate

from .formats import percent, signed, three, with_interval
from .measures import AGE
from .results import (
    BASELINES_ABOUT,
    COLUMNS,
    DEPENDENT_LEADS,
    LEADS_TITLES,
    ORDER,
    PUBLISHED,
    PUBLISHED_SOURCE,
    Results,
    Section,
)
from .rows import MEAN, Noise, RowFigures
from .study import HOLD_OUTS

HEADLINE_LEADS = ("12", "I")
INT8_LOSS_MAX = 0.005
"""Of AUROC; what a family loses beyond it is named."""


def headline(results: Results) -> Section:
    """Return the table of every row by every held-out class, all leads and lead I side by side."""
    shown = [leads for leads in HEADLINE_LEADS if leads in results.leads] or results.leads
    names = _names(results, shown)
    by_leads = {leads: {row.name: row for row in results.rows_of(leads)} for leads in shown}
    rows = []
    for name in names:
        of_row = [by_leads[leads].get(name) for leads in shown]
        rows.append(
            (
                _name(results, name, of_row),
                *(text for row in of_row for text in _by_class(row)),
                *(not_beaten(row) for row in of_row),
            )
        )
    for title, values in PUBLISHED.items():
        mean = sum(values.values()) / len(values) if len(values) == len(HOLD_OUTS) else None
        figures = (*(three(values.get(column)) for column in HOLD_OUTS), three(mean))
        rows.append((title, *figures, *["-"] * (len(COLUMNS) + 1) * (len(shown) - 1), "-"))
    return Section(
        "Every filter and every baseline",
        "AUROC of the unseen class: how often an unseen record scores higher than one in "
        "distribution; .5 is chance. Filters first, as they ship (int8), then the baselines.",
        (
            "",
            *(f"{column}, {LEADS_TITLES[leads]}" for leads in shown for column in COLUMNS),
            *(f"does not beat, {LEADS_TITLES[leads]}" for leads in shown),
        ),
        tuple(rows),
        (
            "*Does not beat*: the baselines whose mean the filter's mean does not exceed beyond "
            "the 95 % interval of the difference. Emphasised are those that exceed the filter's "
            "in the same way: the trained network is worse than they are.",
            f"Published: {PUBLISHED_SOURCE}. They stand in the first columns for want of better.",
            f"Cells: {results.counts}. The end of this document names those that are open.",
        ),
    )


def against_baselines(results: Results, leads: str) -> Section:
    """Return by how much each filter's mean AUROC exceeds each baseline's."""
    families = results.families_of(leads)
    margins = {row.name: _mean_margins(row) for row in families}
    names = [name for name in BASELINES_ABOUT if any(name in of for of in margins.values())]
    rows = [
        (name, *(_emphasised(margins[row.name].get(name)) for row in families)) for name in names
    ]
    return Section(
        f"Filters against baselines, {LEADS_TITLES[leads]}",
        "The filter's mean AUROC less the baseline's, on the same records and the same draws of "
        "patients (against age: on the records whose age is known). Below 0 the baseline is "
        "better; emphasised where the interval is below 0. Intervals are of one comparison each; "
        f"{len(families) * len(names)} stand here, so a few of them miss by chance. By class in "
        "results.json, under margins.",
        ("", *(results.name(row) for row in families)),
        tuple(rows),
        tuple(
            f"{row.name} does not beat: {text}."
            for row in families
            if (text := not_beaten(row)) != "-"
        ),
    )


def not_beaten(row: RowFigures | None) -> str:
    """Return the baselines that a filter does not beat; emphasised those that beat it.

    A filter beats a baseline when the 95 % interval of the difference of their means is above 0.
    """
    margins = _mean_margins(row) if row else {}
    if set(margins) <= {AGE}:
        return "-"  # the baselines have not been run in all four classes
    left = [name for name in BASELINES_ABOUT if not _above(margins.get(name))]
    shown = [f"*{name}*" if _below(margins.get(name)) else name for name in left]
    return ", ".join(shown) or "none"


def findings(results: Results) -> Section:
    """Return what the figures say, in sentences made from them."""
    points = []
    for leads in results.leads:
        families = [row for row in results.families_of(leads) if row.mean]
        baselines = [r for r in results.rows_of(leads) if r.mean and not r.is_family]
        if families and {row.name for row in baselines} - {AGE}:
            title = LEADS_TITLES[leads]
            title = title[0].upper() + title[1:]  # capitalize() would lower the I of a lead
            in_noise = "" if leads in DEPENDENT_LEADS else _in_noise(families, baselines)
            points += [
                f"{title}: {text}"
                for text in (
                    _best(families, baselines),
                    _beaten(families),
                    _published(families),
                    _abnormal(families, baselines),
                    _threshold(families),
                    in_noise,
                    _int8(families),
                )
                if text
            ]
    text = (
        "Sentences made from the figures below, for the sets of leads where all four classes are "
        "there. The best of several rows on the same records is flattered by the choice."
        if points
        else "Nothing yet: no set of leads has a filter and a baseline in all four classes."
    )
    return Section("What it says", text, points=tuple(points))


def _best(families: Sequence[RowFigures], baselines: Sequence[RowFigures]) -> str:
    best, simple = (max(rows, key=lambda row: _value(row.mean)) for rows in (families, baselines))
    margin = best.margins.get(simple.name, {}).get(MEAN)
    verdict = "higher" if _above(margin) else "lower" if _below(margin) else "not told apart"
    return (
        f"the highest mean AUROC of a filter is {best.name}'s, {with_interval(best.mean)}; of a "
        f"baseline {simple.name}'s, {with_interval(simple.mean)}. The filter less the baseline is "
        f"{signed(margin)}: {verdict}."
    )


def _beaten(families: Sequence[RowFigures]) -> str:
    margins = {row.name: _mean_margins(row) for row in families}
    whole = [name for name, of in margins.items() if of and all(map(_above, of.values()))]
    below = [name for name, of in margins.items() if any(map(_below, of.values()))]
    return (
        f"filters that beat every baseline: {len(whole)} of {len(families)}{_listed(whole)}; "
        f"below at least one baseline, beyond the interval: {len(below)}{_listed(below)}."
    )


def _published(families: Sequence[RowFigures]) -> str:
    said = []
    for family, title in (
        ("deep_svdd", "Deep SVDD, published"),
        ("flow", "normalizing flow, published"),
    ):
        row = next((row for row in families if row.name == family), None)
        if row is not None:
            ours = row.auroc["multi_label"]["all"]
            pairs = [
                f"{hold_out} {three(value)} and {with_interval(ours.get(hold_out))}"
                for hold_out, value in PUBLISHED[title].items()
            ]
            said.append(f"{family} {', '.join(pairs)}")
    return f"published figure and ours: {'; '.join(said)}." if said else ""


def _abnormal(families: Sequence[RowFigures], baselines: Sequence[RowFigures]) -> str:
    found = {
        row.name: row.auroc["multi_label"]["abnormal"][MEAN] for row in (*families, *baselines)
    }
    best, simple = (
        max((row.name for row in rows), key=lambda name: _value(found[name]))
        for rows in (families, baselines)
    )
    chance = [row.name for row in families if (found[row.name].low or 0.0) <= 0.5]
    return (
        "against the abnormal ECGs of known classes alone, the highest mean AUROC of a filter is "
        f"{best}'s, {with_interval(found[best])}; of a baseline {simple}'s, "
        f"{with_interval(found[simple])}. Filters not told apart from chance: "
        f"{', '.join(chance) or 'none'}."
    )


def _threshold(families: Sequence[RowFigures]) -> str:
    best = max(families, key=lambda row: _value(row.true_rejects["multi_label"][MEAN]))
    unseen = percent(best.true_rejects["multi_label"][MEAN])
    clean = {against: percent(of[MEAN]) for against, of in best.false_rejects.items()}
    rates = sorted(_value(row.false_rejects["all"][MEAN]) for row in families)
    return (
        f"percent rejected at the threshold of 5 %: {best.name} rejects most of the unseen, "
        f"{unseen}, and of the clean ID {clean['all']}: of NORM only {clean['norm']}, of the "
        f"abnormal {clean['abnormal']}. All filters: {100 * rates[0]:.1f} to "
        f"{100 * rates[-1]:.1f} of the clean ID."
    )


def _in_noise(families: Sequence[RowFigures], baselines: Sequence[RowFigures]) -> str:
    levels = [noise.snr_db for row in families for noise in row.noise]
    if not levels:
        return ""
    level = min(levels, key=abs)

    def best(rows: Sequence[RowFigures], share: Callable[[RowFigures], float | None]) -> str:
        name, value = max(((r.name, share(r) or 0.0) for r in rows), key=lambda pair: pair[1])
        return f"{name} {100 * value:.0f} %"

    def at_level(row: RowFigures) -> float | None:
        rejected = [_noise_value(n) for n in row.noise if n.snr_db == level]
        return sum(rejected) / len(rejected) if rejected else None

    return (
        f"of windows with noise at {level:g} dB, averaged over its kinds, the filter that rejects "
        f"most is {best(families, at_level)}; the baseline is {best(baselines, at_level)}."
    )


def _int8(families: Sequence[RowFigures]) -> str:
    lost = {
        f"{row.name} {hold_out} {signed(e, 4)}"
        for row in families
        for hold_out, e in row.auroc_lost.items()
        if _value(e) > INT8_LOSS_MAX
    }
    worst = max(families, key=lambda row: _value(row.auroc_lost.get(MEAN)))
    mean = signed(worst.auroc_lost.get(MEAN), 4)
    over = f"; more than {three(INT8_LOSS_MAX)} in {', '.join(sorted(lost))}" if lost else ""
    return f"int8 costs at most {mean} of mean AUROC ({worst.name}){over}."


def _names(results: Results, shown: Sequence[str]) -> list[str]:
    """Return the rows, also of families that were asked for and have no cell yet."""
    asked = {slot.row for slot in results.states if slot.leads in shown}
    there = {row.name for leads in shown for row in results.rows_of(leads)}
    return [name for name in ORDER if name in asked | there]


def _name(results: Results, name: str, rows: Sequence[RowFigures | None]) -> str:
    """Return a row's name with the notes of each set of leads it stands for."""
    notes = {LEADS_TITLES[r.leads]: results.notes(r) for r in rows if r is not None}
    said = dict.fromkeys(notes.values())
    if len(said) > 1:
        said = dict.fromkeys(f"{leads}: {note or '1 seed'}" for leads, note in notes.items())
    text = "; ".join(said)
    return f"{name} ({text})" if text else name


def _by_class(row: RowFigures | None) -> list[str]:
    if row is None:
        return ["-"] * len(COLUMNS)
    figures = row.auroc["multi_label"]["all"]
    classes = [three(e.value) if (e := figures.get(h)) else "-" for h in HOLD_OUTS]
    return [*classes, with_interval(row.mean)]


def _mean_margins(row: RowFigures) -> dict[str, Estimate]:
    return {name: margin[MEAN] for name, margin in row.margins.items() if MEAN in margin}


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _emphasised(margin: Estimate | None) -> str:
    return f"*{signed(margin)}*" if _below(margin) else signed(margin)


def _above(margin: Estimate | None) -> bool:
    return margin is not None and margin.low is not None and margin.low > 0


def _below(margin: Estimate | None) -> bool:
    return margin is not None and margin.high is not None and margin.high < 0


def _value(estimate: Estimate | None) -> float:
    return -1.0 if estimate is None or estimate.value is None else estimate.value


def _noise_value(noise: Noise) -> float:
    return noise.rejected.value or 0.0
