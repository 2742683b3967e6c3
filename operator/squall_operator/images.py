"""Which image the runners of a LoadTest have: its own, or that of the installation which has the packages that its steps need. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall_operator.policies import CONTENT, walk

if TYPE_CHECKING:
    from squall.spec.loadtest import LoadTestSpec
    from squall_operator.settings import RunnerDefaults

_STEPS: Final = frozenset({"evm", "encrypt", "decrypt"})
"""What only the larger image has the packages for: the chain of a LoadTest, and steps of these kinds."""


def image_of(spec: LoadTestSpec, defaults: RunnerDefaults) -> str:
    """The image of the runners of a LoadTest."""
    own = spec.runner.image if spec.runner else None
    if own:
        return own
    return defaults.evm_image if defaults.evm_image and _needs_more(spec) else defaults.image


def _needs_more(spec: LoadTestSpec) -> bool:
    """Whether it acts on a chain or encrypts; what it sends to others may look however it likes."""
    plain = spec.model_dump(by_alias=True, exclude_none=True)
    return any(key in _STEPS and isinstance(held, dict) for key, held in walk(plain, CONTENT))
