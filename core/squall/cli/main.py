"""The `squall` command.

`squall --help` must answer at once, so a command's module is imported when the command is asked for, and the
list below holds what the overview says of each. Errors meant for users end here: message, hint, exit code.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

import click

from squall import __version__
from squall.cli.saying import say
from squall.errors import ExitCode, SquallError
from squall.printable import show_what_can_be_shown

COMMANDS: Final = {
    "run": ("squall.cli.run:run", "Run a load test, on this machine or with --cluster on a cluster."),
    "try": ("squall.cli.try_:try_", "Run one iteration of each scenario and show everything."),
    "validate": ("squall.cli.validate:validate", "Report every problem of manifests."),
    "show": ("squall.cli.show:show", "Print the effective manifest."),
    "plan": ("squall.cli.plan:plan", "Show the load over time, without sending any."),
    "report": ("squall.cli.report:report", "Show the report of a finished run again."),
    "runs": ("squall.cli.runs:runs", "List finished runs."),
    "evm": ("squall.cli.evm:evm", "Fill, empty and look at the wallets of tests on EVM chains."),
    "compare": ("squall.cli.compare:compare", "Compare two runs and fail on regressions."),
    "get": ("squall.cli.get:get", "List the load tests of a cluster."),
    "watch": ("squall.cli.watch:watch", "Follow a run on a cluster."),
    "stop": ("squall.cli.watch:stop", "Stop a run on a cluster and wait for its verdict."),
    "logs": ("squall.cli.logs:logs", "Print what runner pods print."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which people meet them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="squall")
def cli() -> None:
    """Load tests as Kubernetes resources, and on this machine with the same manifest.

    Begin with `squall try FILE`, then `squall run FILE`. Exit codes: 0 passed, 99 thresholds failed, 102 deadline,
    103 numbers cannot be trusted, 104 bad manifest, 105 stopped by a user, 106 safety stop, 107 policy, 108 ended
    by the scenario, 109 infrastructure failed, 110 regression.
    """


def main() -> None:
    """Entry point of the `squall` command, and of `kubectl-squall`, which kubectl finds as its plugin `kubectl squall`."""
    for stream in (sys.stdout, sys.stderr):
        show_what_can_be_shown(stream)
    plugin = Path(sys.argv[0]).stem == "kubectl-squall"
    try:
        code = cli.main(prog_name="kubectl squall" if plugin else "squall", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SquallError as error:
        several = "\n" in error.message  # a list of problems, each with its place
        say(error.message if several else f"error: {error.message}", err=True)
        if error.hint:
            say(f"  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(ExitCode.USER)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough; the interpreter must not complain about it at exit
        sys.exit(ExitCode.PASSED)
    sys.exit(code if isinstance(code, int) else ExitCode.PASSED)


if __name__ == "__main__":
    main()
