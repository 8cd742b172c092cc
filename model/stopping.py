"""When to stop labelling: how many more labels the last hundredth of Dice will take, as far as can be told.

Mean Dice over the number of labels n rises towards a plateau: a − b·exp(−n/c), or, with a longer tail, the
power law a − b·n^(−p) that learning curves often follow (Viering and Loog 2023, "The shape of learning
curves"). An exponential alone was sure of a plateau after 40 of 112 labels that did not exist, so all curves
of both kinds are weighed by how well they agree with the rounds: the posterior over a, b and the shape, with
the noise of a round unknown as well. Rounds are noisy because validation images are few and because each
training ends elsewhere; how the images disagree about the gain between two rounds says how noisy to expect.

The end is what labelling all images would bring, since a plateau that no number of images reaches matters to
nobody. "Stop" is said only if hardly any curve gains another hundredth until then, a number of labels only if
its interval is narrow enough to plan by; otherwise the answer is that it cannot be told yet. A wrong "stop"
costs masks, a late one only minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP = 0.01
"""The last gain in mean Dice that is asked about."""
MIN_ROUNDS = 4
"""Fewest rounds to fit: a curve has three parameters."""
LEVEL = 0.9
"""Probability of the intervals."""
SURE = 0.9
"""Probability that less than `STEP` is left from which on "stop" is said."""
WIDEST = 0.25
"""How far the ends of an interval of labels, including those that there are, may be from its middle, as a
share of it, for the number to be said."""
EARLY = 5.0
"""Rounds with fewer labels than a fifth of the latest are left out: at first a network improves faster than
any of these curves, and would make the end look nearer."""
AHEAD = 3.0
"""How far is extrapolated at most, as a multiple of the labels so far."""
HARDER = 0.03
"""How much lower the estimate on images without labels may be than on validation images. Beyond it, the
validation images say too little about the others to stop."""
LEAST_NOISE = 0.002
"""Smallest standard deviation that is expected: no curve is exactly of these kinds."""
DEFAULT_NOISE = 0.006
"""Expected standard deviation of a round's mean Dice where the Dice of single images is unknown."""
NOISE_WEIGHT = 4.0
"""Rounds that the expected noise counts for, beside the rounds' own scatter around a curve."""
FEWEST_CHANGES = 5
"""Fewest images from whose changes between two rounds the noise is estimated."""
DRAWS = 4000
"""Curves drawn from the posterior."""
SHAPES = 60
"""Shapes of each kind."""

Verdict = Literal["stop", "more", "unknown"]


@dataclass(frozen=True)
class Range:
    """A median and the interval [low, high] around it that has probability `LEVEL`."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Range:
        """The range of a sample (k,)."""
        tail = (1 - LEVEL) / 2
        low, median, high = np.quantile(values, (tail, 0.5, 1 - tail))
        return cls(float(low), float(median), float(high))


@dataclass(frozen=True)
class Forecast:
    """What further labels will bring.

    Attributes:
        labels: number of labels so far.
        rounds: number of rounds that the curves follow.
        now: mean Dice now, on the curves.
        end: mean Dice once all images are labelled, or `AHEAD` times as many more as there are labels.
        gain: end − now.
        more: labels until Dice is within `STEP` of the end.
        p_done: probability that it is now.
        verdict: "stop", "more" (then `more` is narrow enough to plan by) or "unknown".
        reason: why it is unknown, in words; empty otherwise.
        curve: for a figure: (labels, low, median, high) of the curves from the first round on to the end.
    """

    labels: int
    rounds: int
    now: Range
    end: Range
    gain: Range
    more: Range
    p_done: float
    verdict: Verdict = "unknown"
    reason: str = ""
    curve: tuple[tuple[float, float, float, float], ...] = ()


def forecast(
    labels: Sequence[float],
    dsc: Floats,
    *,
    left: int | None = None,
    pool: float | None = None,
    seed: int = 0,
) -> Forecast | None:
    """Say what further labels will bring.

    Args:
        labels: (r,) labels of each round, rising.
        dsc: (r, m) Dice in [0, 1] of m validation images after each round; NaN where an image was not
            validated then. (r, 1) if only means are known.
        left: number of images without labels; None if unknown.
        pool: mean estimated Dice of their masks (`model.quality`); None if unknown.
        seed: of the draws.

    Returns:
        The forecast; None with fewer than `MIN_ROUNDS` rounds.

    Raises:
        ValueError: the shapes differ, or the labels do not rise.
    """
    n, values = np.asarray(labels, np.float64), np.asarray(dsc, np.float64)
    if values.ndim != 2 or len(n) != len(values) or (np.diff(n) <= 0).any():
        raise ValueError("Give a row of Dice values for each round, and rounds with more and more labels.")
    if len(n) < MIN_ROUNDS:
        return None
    late = n >= n[-1] / EARLY
    late[-MIN_ROUNDS:] = True
    n, values = n[late], values[late]
    ahead = AHEAD * n[-1] if left is None else min(AHEAD * n[-1], left)
    past, future = np.linspace(n[0], n[-1], 20), np.linspace(n[-1], n[-1] + ahead, 100)
    means, noise = round_means(values)
    curves = _curves(n, means, noise, np.concatenate([past, future]), np.random.default_rng(seed))
    drawn = curves[:, len(past) :]
    now, end = drawn[:, 0], drawn[:, -1]
    reached = (drawn >= end[:, None] - STEP).argmax(axis=1)
    quantiles = np.quantile(curves, ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2), axis=0)
    found = Forecast(
        int(n[-1]),
        len(n),
        now=Range.of(now),
        end=Range.of(end),
        gain=Range.of(end - now),
        more=Range.of(future[reached] - n[-1]),
        p_done=float((end - now <= STEP).mean()),
        curve=tuple(
            (float(at), float(low), float(median), float(high))
            for at, low, median, high in zip([*past, *future], *quantiles, strict=True)
        ),
    )
    return _judged(found, float(means[-1]), pool)


def round_means(values: Floats) -> tuple[Floats, float]:
    """Mean Dice of each round (r,) whatever images were validated then, and the noise to expect of a mean.

    A value is a round's level plus what is its image's own; both are fitted by alternating means, since a
    plain mean would jump when images join.

    Args:
        values: (r, m), NaN where unknown; each round and each image has a value.
    """
    known = np.isfinite(values)
    level = np.nanmean(values, axis=1)
    own = np.zeros(values.shape[1])
    for _ in range(50):
        own = np.nanmean(values - level[:, None], axis=0)
        level = np.nanmean(values - own, axis=1)
    # The latest round has its plain mean.
    level += own[known[-1]].mean()
    changes = [change[np.isfinite(change)] for change in np.diff(values, axis=0)]
    # A change has the noise of two rounds.
    variances = [one.var(ddof=1) / 2 / len(one) for one in changes if len(one) >= FEWEST_CHANGES]
    noise = float(np.sqrt(np.mean(variances))) if variances else DEFAULT_NOISE
    return level, max(noise, LEAST_NOISE)


def _judged(found: Forecast, mean: float, pool: float | None) -> Forecast:
    if found.p_done >= SURE:
        if pool is None or pool >= mean - HARDER:
            return replace(found, verdict="stop")
        reason = (
            "the validation figures hardly rise any more, but the masks of images without labels are "
            f"estimated at {pool:.2f}, below the {mean:.2f} of the validation images"
        )
        return replace(found, reason=reason)
    middle = found.labels + (found.more.low + found.more.high) / 2
    if (found.more.high - found.more.low) / 2 <= WIDEST * middle:
        return replace(found, verdict="more")
    reason = f"anything from {found.more.low:.0f} to {found.more.high:.0f} more labels agree with the figures"
    return replace(found, reason=reason)


def _curves(n: Floats, means: Floats, noise: float, at: Floats, rng: np.random.Generator) -> Floats:
    """Draw curves from their posterior; their values (at most `DRAWS`, k) at numbers of labels `at` (k,).

    For a given shape s(n) the curve a − b·s(n) is linear in a and b, so with an inverse-gamma prior of the
    noise's variance its posterior is a multivariate t in closed form; b ≥ 0 and a ≤ 1 are enforced by leaving
    out other draws.
    """
    shapes = _shapes(n)
    alpha = (NOISE_WEIGHT + len(n) - 2) / 2
    evidence, fits = np.empty(len(shapes)), []
    for index, (kind, parameter) in enumerate(shapes):
        x = np.stack([np.ones_like(n), -_shape(kind, parameter, n, n)], axis=1)
        covariance = np.linalg.inv(x.T @ x)
        centre = covariance @ (x.T @ means)
        scale = (NOISE_WEIGHT * noise**2 + ((means - x @ centre) ** 2).sum()) / 2
        evidence[index] = np.linalg.slogdet(covariance)[1] / 2 - alpha * np.log(scale)
        fits.append((centre, np.linalg.cholesky(covariance), scale))
    weights = np.exp(evidence - evidence.max())
    counts = rng.multinomial(4 * DRAWS, weights / weights.sum())
    drawn = []
    for (kind, parameter), (centre, root, scale), count in zip(shapes, fits, counts, strict=True):
        deviation = np.sqrt(scale / rng.gamma(alpha, size=count))
        ab = centre + deviation[:, None] * (rng.standard_normal((count, 2)) @ root.T)
        ab = ab[(ab[:, 1] >= 0) & (ab[:, 0] <= 1)]
        drawn.append(ab[:, :1] - ab[:, 1:] * _shape(kind, parameter, n, at))
    curves = np.concatenate(drawn)
    if not len(curves):
        # Dice falls so clearly that no rising curve agrees with it.
        return np.full((1, len(at)), means[-1])
    return rng.permutation(curves)[:DRAWS]


def _shapes(n: Floats) -> list[tuple[str, float]]:
    scales, powers = np.geomspace(n[-1] / 20, 3 * n[-1], SHAPES), np.linspace(0.1, 2.0, SHAPES)
    return [*(("exponential", float(c)) for c in scales), *(("power", float(p)) for p in powers)]


def _shape(kind: str, parameter: float, n: Floats, at: Floats) -> Floats:
    """A falling curve at `at`, scaled to 1 at the first round and 0 at the last.

    The scale makes b the change over the rounds for every shape, so that no shape has an advantage by its
    units.
    """

    def raw(x: Floats) -> Floats:
        fallen: Floats = (
            np.exp(-(x - n[0]) / parameter) if kind == "exponential" else (x / n[0]) ** -parameter
        )
        return fallen

    first, last = raw(n[:1]), raw(n[-1:])
    shape: Floats = (raw(at) - last) / (first - last)
    return shape
