"""The commands of `outlay`: one file per command, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from outlay import __version__
from outlay.errors import OutlayError

COMMANDS: dict[str, str] = {
    "run": "Run a goal to its end.",
    "resume": "Go on with a run that was paused, killed or has ended.",
    "cancel": "End a run, or pause it.",
    "send": "Tell a session at work something.",
    "notify": "Tell people how runs go: desktop, webhook, email, chat.",
    "approve": "Decide on what a run's agents want released.",
    "deliver": "Bring the result of a run into its workspace, or elsewhere.",
    "goal": "Write and check goal files.",
    "agent": "Start subagents in the background, wait for them, read what they found and cost.",
    "mcp": "Serve subagents as tools to Claude Code, Codex, OpenCode and others.",
    "skill": "Teach other agents to use `outlay agent`.",
    "gateway": "Serve any agent by its base URL: limits, metering, keys in one place.",
    "wrap": "Run any agent behind the gateway, with limits and a report.",
    "agents": "Say which other agents can be driven as sessions.",
    "runs": "List the runs.",
    "top": "Watch and steer all runs and agents on one screen.",
    "show": "Show how a run stands, live or afterwards.",
    "serve": "Watch and steer runs in a browser.",
    "report": "Say what a run achieved and what it cost.",
    "usage": "Say what other agents used, and what it was worth.",
    "prices": "Show, check, update and compare prices.",
    "recost": "Price past calls again, on purpose.",
    "bench": "Say what a success costs, from measured or published results.",
    "forecast": "Say what a goal will probably cost, take and achieve, from past runs.",
    "export": "Write runs and experiments as Inspect logs or ATIF trajectories.",
    "pay": "Put a usage trace under every way to pay.",
    "hardware": "Which open models fit a device, how fast, at what cost.",
    "audit": "Show one call from file and line to counters, price row and cost.",
    "statusline": "Print one line for another tool's status bar.",
    "tokenomics": "Compute leverage, shares and cost per token from a table.",
    "claims": "Recompute what is said about the cost of agents.",
    "policy": "Say who may see which data; runs keep to it.",
    "ledger": "Check the record of everything that happened.",
    "sandbox": "Run a command as agents and checks run theirs.",
    "doctor": "Say what this machine has and lacks.",
}
"""Command name -> one line of help. `outlay.cli.<name>` (dashes as underscores) defines `command`."""


class LazyGroup(click.Group):
    """Knows its commands by name and help line; imports one when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"outlay.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if COMMANDS:
            with formatter.section("Commands"):
                formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean `outlay {near[0]}`?" if near else "; see `outlay --help`"
            raise click.UsageError(f"no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", message="outlay %(version)s")
def outlay() -> None:
    """Run a team of LLM agents on a goal under enforced rules, and see what each success cost."""


def main() -> None:
    """Run a command. Errors of ours are one line on stderr and an exit code; see outlay.errors."""
    try:
        code = outlay.main(prog_name="outlay", standalone_mode=False)  # what ctx.exit() was given
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        _refuse(f"{error.format_message().rstrip('.')}{_see_help(error)}")
        sys.exit(2)
    except click.Abort:
        sys.exit(4)
    except OutlayError as error:
        _refuse(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # what nobody foresaw, such as a disk that is full or a folder that is gone
        _refuse(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
        sys.exit(2)
    except Exception as error:
        if type(error).__module__ != "sqlite3":  # not imported here: most commands need none
            raise
        _refuse(f"the ledger cannot be read: {error}; `outlay ledger verify` looks into it")
        sys.exit(2)


def _refuse(words: str) -> None:
    click.echo(f"outlay: {words}", err=True)


def _see_help(error: click.ClickException) -> str:
    """Where to look further, unless the message says so."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or "--help" in error.format_message():
        return ""
    return f"; see `{context.command_path} --help`"
