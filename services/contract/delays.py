"""The delay profiles of the upstream: how long it takes, as a lognormal given by its median and P99.

Standard library only, because the runner imports it to know the mock's delays before starting it.

A keyed delay needs no state: `key` and `seed` alone fix it, in every process and on every machine, so two
stages that send the same keys meet the same delays (common random numbers). The recipe, for other languages:

    digest = BLAKE2b("<seed>:<key>" in ASCII, 16 bytes)
    u      = (first 8 bytes, big-endian, top 52 bits + 0.5) / 2^52        strictly inside (0, 1)
    delay  = P50 * exp(sigma * z),  z = inverse normal CDF of u,  sigma = ln(P99 / P50) / 2.3263
    factor = 0.9 + 0.2 * (last 8 bytes, big-endian, top 52 bits + 0.5) / 2^52
"""

import math
from dataclasses import dataclass
from hashlib import blake2b
from random import getrandbits
from statistics import NormalDist
from typing import Final

MIN_P50_MS: Final = 0.001
"""The shortest median (ms): also keeps exp() of the widest lognormal far from overflow."""
MAX_DELAY_MS: Final = 600_000
"""The longest wait that may be requested and the highest P99 (ms): ten minutes."""

MOCK_SEED: Final = 1
"""Of the upstream in every run of every ladder: a key alone then fixes a delay."""

_NORMAL: Final = NormalDist()
_Z95: Final = _NORMAL.inv_cdf(0.95)
_Z99: Final = _NORMAL.inv_cdf(0.99)

# 52 bits, not 53: k + 0.5 is then exact in a double, so u can reach neither 0 nor 1 (inv_cdf refuses both).
_UNIT_BITS: Final = 52
_UNIT_STEPS: Final = 1 << _UNIT_BITS


@dataclass(frozen=True, slots=True)
class Profile:
    """A lognormal delay by its median and 99th percentile, both in ms.

    Raises ValueError unless MIN_P50_MS <= p50_ms < p99_ms <= MAX_DELAY_MS.
    """

    p50_ms: float
    p99_ms: float

    def __post_init__(self) -> None:
        if not MIN_P50_MS <= self.p50_ms < self.p99_ms <= MAX_DELAY_MS:  # also refuses NaN
            raise ValueError(
                f"a delay profile needs {MIN_P50_MS} <= P50 < P99 <= {MAX_DELAY_MS} ms; "
                f"got P50 {self.p50_ms:g} ms and P99 {self.p99_ms:g} ms"
            )

    @property
    def sigma(self) -> float:
        """Standard deviation of ln(delay): dimensionless."""
        return math.log(self.p99_ms / self.p50_ms) / _Z99

    @property
    def mean_ms(self) -> float:
        """Expected delay (ms): above the median, because the tail is long."""
        return self.p50_ms * math.exp(self.sigma**2 / 2)

    @property
    def p95_ms(self) -> float:
        """95th percentile of the delay (ms)."""
        return self.p50_ms * math.exp(self.sigma * _Z95)


PROFILES: Final[dict[str, Profile]] = {
    "fast": Profile(p50_ms=200, p99_ms=1_000),
    "slow": Profile(p50_ms=4_000, p99_ms=22_000),
}


def delay_ms(profile: Profile, key: str | None, seed: int) -> float:
    """Delay in ms: fixed by (seed, key), or a fresh random one when `key` is None."""
    if key is None:
        return random_delay_ms(profile.p50_ms, profile.sigma)
    return keyed(profile.p50_ms, profile.sigma, b"%d:" % seed, key.encode())[0]


def factor(key: str | None, seed: int) -> float:
    """What the service multiplies a price by: 0.90 to 1.10, fixed by (seed, key); 1.0 without a key.

    Taken from different bits of the hash than the delay, so a price reveals nothing about its delay.
    """
    if key is None:
        return 1.0
    return keyed(1.0, 0.0, b"%d:" % seed, key.encode())[1]


def keyed(p50_ms: float, sigma: float, prefix: bytes, key: bytes) -> tuple[float, float]:
    """(delay in ms, factor) of one key: the form for the mock's hot path.

    `prefix` is b"<seed>:", encoded once by the caller.
    """
    bits = int.from_bytes(blake2b(prefix + key, digest_size=16).digest())
    z = _NORMAL.inv_cdf(((bits >> 128 - _UNIT_BITS) + 0.5) / _UNIT_STEPS)
    fraction = ((bits >> 64 - _UNIT_BITS & _UNIT_STEPS - 1) + 0.5) / _UNIT_STEPS
    return p50_ms * math.exp(sigma * z), 0.9 + 0.2 * fraction


def random_delay_ms(p50_ms: float, sigma: float) -> float:
    """A new random delay in ms for each call."""
    z = _NORMAL.inv_cdf((getrandbits(_UNIT_BITS) + 0.5) / _UNIT_STEPS)
    return p50_ms * math.exp(sigma * z)
