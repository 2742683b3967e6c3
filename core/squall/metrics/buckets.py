"""Where the buckets of a trend lie, and which one a value falls into.

Squall's histograms go to Prometheus as native histograms, so their buckets must be Prometheus' own to the
last bit: a boundary that differs by one unit in the last place would move samples between buckets when
they are compared with a histogram that another program recorded. Bucket `i` of schema 6 holds the values
in `(2^((i-1)/64), 2^(i/64)]`; the boundaries within one power of two are constants of the format (Prometheus'
table for schema 6), not recomputed powers, for its literals differ from correctly rounded powers in the last place.

The range is clamped so that memory is bounded: values up to `ZERO_THRESHOLD` (2^-30, just under a nanosecond
for times) count as zero, values above 2^50 (about 10^15) fall into the last bucket. That is 5,120 buckets.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA: Final = 6
"""Prometheus' resolution: 2^6 = 64 buckets per power of two, at most 0.55 % from a bucket's centre."""

PER_OCTAVE: Final = 1 << SCHEMA

MIN_EXPONENT: Final = -30
MAX_EXPONENT: Final = 50

MIN_INDEX: Final = MIN_EXPONENT * PER_OCTAVE + 1
"""The lowest bucket; its lower bound is the zero threshold."""

MAX_INDEX: Final = MAX_EXPONENT * PER_OCTAVE
"""The highest bucket; it also holds everything above it."""

ZERO_THRESHOLD: Final = 2.0**MIN_EXPONENT
"""Values up to here, negative ones included, are counted in the zero bucket."""

_TOP: Final = 2.0**MAX_EXPONENT

FRACTIONS: Final[tuple[float, ...]] = (
    0.5,
    0.5054446430258502,
    0.5109485743270583,
    0.5165124395106142,
    0.5221368912137069,
    0.5278225891802786,
    0.5335702003384117,
    0.5393803988785598,
    0.5452538663326288,
    0.5511912916539204,
    0.5571933712979462,
    0.5632608093041209,
    0.5693943173783458,
    0.5755946149764913,
    0.5818624293887887,
    0.5881984958251406,
    0.5946035575013605,
    0.6010783657263515,
    0.6076236799902344,
    0.6142402680534349,
    0.620928906036742,
    0.6276903785123455,
    0.6345254785958666,
    0.6414350080393891,
    0.6484197773255048,
    0.6554806057623822,
    0.6626183215798706,
    0.6698337620266515,
    0.6771277734684463,
    0.6845012114872953,
    0.6919549409819159,
    0.6994898362691555,
    0.7071067811865475,
    0.7148066691959849,
    0.7225904034885232,
    0.7304588970903234,
    0.7384130729697496,
    0.7464538641456323,
    0.7545822137967112,
    0.762799075372269,
    0.7711054127039704,
    0.7795022001189185,
    0.7879904225539431,
    0.7965710756711334,
    0.805245165974627,
    0.8140137109286738,
    0.8228777390769823,
    0.8318382901633681,
    0.8408964152537144,
    0.8500531768592616,
    0.8593096490612387,
    0.8686669176368529,
    0.8781260801866495,
    0.8876882462632604,
    0.8973545375015533,
    0.9071260877501991,
    0.9170040432046711,
    0.9269895625416926,
    0.9370838170551498,
    0.9472879907934827,
    0.9576032806985735,
    0.9680308967461471,
    0.9785720620876999,
    0.9892280131939752,
)
"""Upper bounds of the buckets in [0.5, 1), as the Prometheus format defines them."""

# ---------------------------------------------------------------------------------------------------------
# How `indices` finds buckets without a logarithm. A float64 is 1 sign bit, 11 bits of exponent, 52 of mantissa.
# The upper 10 bits of the mantissa cut each power of two into 1,024 cells. The narrowest bucket is 1/93 of
# a power of two, so a cell holds one boundary at most: the bucket is the one at the cell's start, plus one
# when the mantissa lies beyond the boundary inside the cell. All of it is integer arithmetic: exact.
# ---------------------------------------------------------------------------------------------------------
_CELL_BITS: Final = 10
_CELL_SHIFT: Final = 52 - _CELL_BITS
_CELL_MASK: Final = (1 << _CELL_BITS) - 1
_MANTISSA_MASK: Final = (1 << 52) - 1
_EXPONENT_BIAS: Final = 1023


def _cell_tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bucket at the start of each cell, and the mantissa of the boundary within it (else: never beyond)."""
    mantissas = [int((2.0 * fraction - 1.0) * 2**52) for fraction in FRACTIONS]
    cells = range(1 << _CELL_BITS)
    starts = [bisect_left(mantissas, cell << _CELL_SHIFT) for cell in cells]
    inside = [
        mantissas[start] if start < PER_OCTAVE and mantissas[start] >> _CELL_SHIFT == cell else _MANTISSA_MASK
        for cell, start in zip(cells, starts, strict=True)
    ]
    return np.array(starts, dtype=np.int64), np.array(inside, dtype=np.int64)


_CELL_START, _CELL_BOUND = _cell_tables()


def index(value: float) -> int:
    """The bucket of one value above `ZERO_THRESHOLD`."""
    if value >= _TOP:
        return MAX_INDEX
    fraction, exponent = math.frexp(value)
    return bisect_left(FRACTIONS, fraction) + (exponent - 1) * PER_OCTAVE


def indices(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The buckets of values that are all above `ZERO_THRESHOLD`; same result as `index` for each."""
    bits = np.minimum(values, _TOP).view(np.int64)
    cell = (bits >> _CELL_SHIFT) & _CELL_MASK
    found = _CELL_START.take(cell)
    found += (bits & _MANTISSA_MASK) > _CELL_BOUND.take(cell)
    exponent = bits >> 52
    exponent -= _EXPONENT_BIAS
    exponent <<= SCHEMA
    found += exponent
    return found


def upper_bound(bucket: int, schema: int = SCHEMA) -> float:
    """The largest value that belongs to a bucket, at schema 6 or a lower one down to 0."""
    step = SCHEMA - schema
    fraction = FRACTIONS[(bucket & ((1 << schema) - 1)) << step]
    return math.ldexp(fraction, (bucket >> schema) + 1)


def centre(bucket: int) -> float:
    """The value that stands for a bucket: its geometric centre, at most 0.55 % from all that it holds."""
    return math.sqrt(upper_bound(bucket - 1) * upper_bound(bucket))
