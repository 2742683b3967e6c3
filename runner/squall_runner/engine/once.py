"""Setup and teardown: steps that run once per run, are logged step by step, and are no part of the load's metrics."""

from __future__ import annotations

import asyncio
import random
import traceback
from typing import TYPE_CHECKING, Any

from squall.errors import SquallError
from squall_runner.engine.vu import Vu
from squall_runner.http import HttpClient
from squall_runner.load import LoadError
from squall_runner.steps.failure import EndIteration, Halted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall_runner.engine.control import Control
    from squall_runner.engine.examples import Examples
    from squall_runner.engine.scenario import Shared
    from squall_runner.evm.chain import Chain
    from squall_runner.http import Request, Response
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Program


class Unstaged:
    """What the VU of setup and teardown takes part in: no scenario, no stage."""

    stage = ""


class RequestLog:
    """Writes what setup and teardown do to the run's log; see `Observer`.

    Args:
        note: See `Hooks.note`.
        mask: Hides secrets in a text.
    """

    def __init__(self, note: Callable[..., None], mask: Callable[[str], str]) -> None:
        self._note = note
        self._mask = mask

    def step(self, site: Site, vu: Vu) -> None:
        """A step begins; its requests will tell."""

    def exchange(self, site: Site, vu: Vu, request: Request, response: Response, *, failed: bool) -> None:  # noqa: ARG002 - as in `Observer`
        """A request has ended."""
        self._note(
            "info",
            f"{site.ctx.scenario}_request",
            step=site.name,
            method=request.method,
            url=self._mask(site.url(request))[:500],
            status=response.status,
            error=response.error,
            duration=round(response.total, 6),
        )

    def act(  # noqa: PLR0917 - as in `Observer`
        self,
        site: Site,
        vu: Vu,  # noqa: ARG002 - as in `Observer`
        action: str,
        duration: float,
        error: str,
        details: Mapping[str, Any],
    ) -> None:
        """Something was done on a chain."""
        self._note(
            "info",
            f"{site.ctx.scenario}_action",
            step=site.name,
            action=action,
            error=error,
            duration=round(duration, 6),
            hash=details.get("hash", ""),
        )

    def check(
        self,
        site: Site,
        name: str,
        source: str,
        *,
        held: bool,
        seen: Mapping[str, Any],  # noqa: ARG002 - may hold a secret
        why: str,
    ) -> None:
        """A check was evaluated; those that failed are worth a line."""
        if not held:
            message = self._mask(why or f"{name}: {source}")[:500]
            self._note("warning", "check_failed", scenario=site.ctx.scenario, step=site.name, message=message)

    def value(self, site: Site, name: str, value: Any) -> None:
        """A name was given a value, which may be a secret: nothing to log."""

    def failure(self, site: Site, error: str, message: str, hint: str) -> None:
        """A step failed; its example says it."""


def _vu_of(shared: Shared, name: str, shard: int) -> Vu:
    rng = random.Random(f"{shared.run}/{name}/{shared.attempt}")  # noqa: S311 - no secrets
    env = shared.environment(0, shard, name, rng)
    client = HttpClient(shared.network, cookies=shared.cookies)
    return Vu(0, shard, Unstaged(), base=env, client=client, rng=rng)


async def run_once(
    program: Program,
    shared: Shared,
    *,
    name: str,
    shard: int,
    seconds: float,
    examples: Examples,
    control: Control | None,
    chain: Chain | None = None,
) -> dict[str, Any]:
    """Run setup or teardown.

    Args:
        program: The steps.
        shared: What they have like the scenarios; `base` is what they begin with.
        name: `setup` or `teardown`.
        shard: Where they run.
        seconds: For all of them.
        examples: Where their failures are told.
        control: Stops them; teardown, which runs after a stop, has none.
        chain: Where they get their wallet, if there is a chain.

    Returns:
        What they extracted and set.

    Raises:
        LoadError: A step failed, or time was up.
    """
    vu = _vu_of(shared, name, shard)
    vu.task = asyncio.current_task()
    word = name.capitalize()
    if control is not None:
        control.register(vu)
    try:
        async with asyncio.timeout(seconds):
            if chain is not None:
                await chain.prepare_once(vu, vu.env)
            await program.run(vu)
    except EndIteration:
        raise LoadError(f"{word}Failed", examples.last, "see the run's log") from None
    except TimeoutError:
        message = f"{name} took longer than {seconds:g} s"
        raise LoadError(
            f"{word}Failed", message, f"raise spec.{name}.timeout, or mend what it waits for"
        ) from None
    except SquallError as error:
        raise LoadError(f"{word}Failed", error.message, error.hint) from error
    except (Halted, asyncio.CancelledError):
        if not vu.halted:
            raise
        raise LoadError(f"{word}Stopped", f"{name} was stopped") from None
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise LoadError(f"{word}Failed", f"{error!r} ({where.name})", "please report this") from error
    finally:
        if control is not None:
            control.unregister(vu)
        vu.client.close()
    return {known: vu.env[known] for known in program.names if known in vu.env}
