# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Judges requests as they come, with stated error rates whenever one stops looking. Pure.

A test by betting (Waudby-Smith & Ramdas, arXiv 2010.09686): who bets b of his wealth against "the share of failures is at
most p" has the product of 1 + b(x - p). When that share is true, it exceeds 1/alpha with probability at most alpha, ever
(Ville's inequality), and outcomes need not be independent. The wealth here is the mean over a grid of bets; a second one,
against "at least q", passes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_BETS = 20
# A bet of 1/p would lose everything at the first success, and then no evidence could bring it back.
_BOLDEST = 0.95


class Outlook(StrEnum):
    """What is known so far."""

    UNDECIDED = "undecided"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True)
class Rates:
    """What is good, what is bad, and how often we may be wrong.

    `good` and `bad` are shares of failed requests; `alpha` is the chance to fail a good release, `beta` to pass a bad one.
    """

    good: float = 0.01
    bad: float = 0.05
    alpha: float = 0.01
    beta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.good < self.bad < 1:
            raise ValueError(f"error rates must be 0 < good ({self.good}) < bad ({self.bad}) < 1")
        if not (0 < self.alpha < 1 and 0 < self.beta < 1):
            raise ValueError(f"alpha ({self.alpha}) and beta ({self.beta}) must be between 0 and 1")


@dataclass(frozen=True)
class Evidence:
    """Counts of good and failed outcomes, and what they are worth.

    The wealth of a fixed bet depends on the counts alone, not on their order; so counts are all that has to be kept, and
    anybody can compute the rest again.
    """

    failures: int = 0
    successes: int = 0

    def and_(self, failures: int, successes: int) -> "Evidence":
        """Return the evidence with more outcomes."""
        return Evidence(self.failures + failures, self.successes + successes)

    @property
    def outcomes(self) -> int:
        """How many there are."""
        return self.failures + self.successes

    def against_good(self, rates: Rates) -> float:
        """Return the logarithm of the wealth against "at most `good` fail"."""
        return _log_mean(
            self.failures * math.log1p(bet * (1 - rates.good)) + self.successes * math.log1p(-bet * rates.good)
            for bet in _grid(1 / rates.good, 2)
        )

    def against_bad(self, rates: Rates) -> float:
        """Return the logarithm of the wealth against "at least `bad` fail"."""
        return _log_mean(
            self.failures * math.log1p(-bet * (1 - rates.bad)) + self.successes * math.log1p(bet * rates.bad)
            for bet in _grid(1 / (1 - rates.bad), 1 / 2)
        )

    def outlook(self, rates: Rates) -> Outlook:
        """Return what may be said. Looking again and again costs nothing.

        Once it was not undecided it must not be asked with more: the first answer is the one with the stated rates.
        """
        if self.against_good(rates) >= -math.log(rates.alpha):
            return Outlook.FAILED
        if self.against_bad(rates) >= -math.log(rates.beta):
            return Outlook.PASSED
        return Outlook.UNDECIDED


def outages_to_fail(rates: Rates) -> int:
    """Return how many failures in a row are enough when nothing has succeeded yet."""
    return next(count for count in range(1, 10_000) if Evidence(count, 0).outlook(rates) is Outlook.FAILED)


def successes_to_pass(rates: Rates) -> int:
    """Return how many successes in a row are enough when nothing has failed."""
    return next(count for count in range(1, 1_000_000) if Evidence(0, count).outlook(rates) is Outlook.PASSED)


def band(evidence: Evidence, alpha: float) -> tuple[float, float]:
    """Return the shares of failures that are believable: all at once for every number of outcomes, with chance 1 - alpha.

    Outcomes are in [0, 1], so sub-Gaussian with 1/4 (Howard et al., Annals of Statistics 49(2), the normal mixture).
    """
    count = evidence.outcomes
    if not count:
        return 0.0, 1.0
    # The band is tightest near 200 outcomes: about what a process gets in its time.
    rho = 1 / 200
    radius = 0.5 * math.sqrt((count * rho + 1) / (count**2 * rho) * math.log((count * rho + 1) / alpha**2))
    mean = evidence.failures / count
    return max(0.0, mean - radius), min(1.0, mean + radius)


def _grid(limit: float, power: float) -> Iterable[float]:
    """Yield bets up to nearly the limit. Small bets win by shares that are only a little off, bold ones by what is clear.

    Failures are clear when they come, so most bets against "good" are small (power > 1); a release without any failure is
    what we expect, so most bets against "bad" are bold (power < 1).
    """
    return (limit * _BOLDEST * ((index + 1) / _BETS) ** power for index in range(_BETS))


def _log_mean(values: Iterable[float]) -> float:
    listed = list(values)
    top = max(listed)
    return top + math.log(sum(math.exp(value - top) for value in listed) / len(listed))
