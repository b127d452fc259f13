"""How figures are written, in the Markdown file and on the page alike."""

from datasets.bootstrap import Estimate


def three(value: float | None) -> str:
    """Return a figure between 0 and 1 to three places.

    Examples
    --------
    >>> three(0.7984), three(None)
    ('.798', '-')
    """
    return "-" if value is None else f"{value:.3f}".replace("0.", ".", 1)


def with_interval(estimate: Estimate | None) -> str:
    """Return a figure with its interval.

    Examples
    --------
    >>> with_interval(Estimate(0.7984, 0.75, 0.84, 100, 90))
    '.798 (.75-.84)'
    """
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return three(estimate.value)
    return f"{three(estimate.value)} ({_two(estimate.low)}-{_two(estimate.high)})"


def percent(estimate: Estimate | None) -> str:
    """Return a share with its interval, in percent.

    Examples
    --------
    >>> percent(Estimate(0.051, 0.034, 0.071, 100, 90))
    '5.1 (3.4-7.1)'
    """
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.1f}"
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"


def signed(estimate: Estimate | None, places: int = 3) -> str:
    """Return a difference of areas with its interval.

    Examples
    --------
    >>> signed(Estimate(0.0312, -0.004, 0.07, 100, 90))
    '+.031 (-.00 to +.07)'
    """
    if estimate is None or estimate.value is None:
        return "-"
    value = _signed(estimate.value, places)
    if estimate.low is None or estimate.high is None:
        return value
    ends = (_signed(end, places - 1) for end in (estimate.low, estimate.high))
    return f"{value} ({' to '.join(ends)})"


def span(values: list[int]) -> str:
    """Return the least and the largest of some counts.

    Examples
    --------
    >>> span([80, 174]), span([5, 5]), span([])
    ('80-174', '5', '-')
    """
    return "-".join(f"{n:,}" for n in sorted({min(values), max(values)})) if values else "-"


def _two(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)


def _signed(value: float, places: int) -> str:
    return f"{value:+.{places}f}".replace("0.", ".", 1)
