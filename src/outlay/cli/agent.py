"""`outlay agent`: subagents as a service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_PROJECT = click.option(
    "--project",
    "-C",
    type=click.Path(path_type=Path),
    help="Whose agents. Default: the git tree of the current folder.",
)
_LIMITS = click.option("--limit", "limits", multiple=True, metavar="KEY=VALUE", help="usd, turns, net_tokens, ...")
_TIMEOUT = click.option("--timeout", default="", metavar="TIME", help="Longest time it may work, such as 10m.")
_PROMPT = click.option("--prompt", "given", default="", hidden=True)


def _named(function: F) -> F:
    """The argument NAME, also taken as `--name`."""
    return click.argument("name", required=False, default="")(
        click.option("--name", "also", default="", hidden=True)(function)
    )


def _order(function: F) -> F:
    """What is said of a new agent."""
    for option in reversed(
        (
            click.option("--name", default="", help="Its name, unique in the project. Default: its role and a number."),
            click.option("--model", default="", metavar="SPEC", help="provider:model[@url], or a name of agents.toml."),
            click.option(
                "--folder",
                "--cwd",
                type=click.Path(path_type=Path),
                help="Where it works. Default: the current folder.",
            ),
            click.option("--file", "files", multiple=True, help="A file whose text it is given; repeatable."),
            _LIMITS,
            _TIMEOUT,
            click.option("--subagents", is_flag=True, help="It may start subagents of its own."),
            click.option(
                "--deliver",
                type=click.Choice(["never", "success", "always"]),
                default="never",
                show_default=True,
                help="Bring its changes into the folder when it ends.",
            ),
            click.option("--replace", is_flag=True, help="Take the name over from an agent that has ended."),
        )
    ):
        function = option(function)
    return function


class JsonGroup(click.Group):
    """Wrong usage is one line of JSON, too: programs read it."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            from outlay.views.agent_command import refuse

            refuse(_usage_code(error), error.format_message())
            raise SystemExit(2) from None


def _usage_code(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        return "E_ARG_UNKNOWN"
    return "E_CMD_UNKNOWN" if "No such command" in error.format_message() else "E_INPUT"


@click.group("agent", cls=JsonGroup, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Start subagents in the background, steer them, wait for them, read what they found and what they cost.

    Every command prints one line of JSON; `status` and `logs` print for people on a terminal, `ask` prints the answer.
    Errors: {"ok":false,"code":"E_...","error":"..."} and exit code 2; the codes are in docs/reference/agent-json.md.
    A role that only reads (scout, researcher, reviewer, writer) sees the folder as it is. Any other (worker, tester)
    works in a git clone of it; `outlay agent deliver NAME` brings its changes into the folder.

    \b
    outlay agent ask --role scout "where are dates parsed?"
    outlay agent start --name tests --role tester "run the tests and say what fails"
    outlay agent wait tests --timeout 120
    outlay agent result tests
    """


@command.command("start")
@click.argument("prompt", nargs=-1)
@_PROMPT
@click.option("--role", "--agent", default="worker", show_default=True, help="See `list --roles`; or a role file.")
@_order
@_PROJECT
def start(prompt: tuple[str, ...], given: str, project: Path | None, **order: Any) -> None:
    """Start an agent and return at once. PROMPT is its task; `-` reads it from standard input."""
    from outlay.views.agent_command import do, read_text, tell

    text = read_text(prompt, given)
    tell(agent=do(project, lambda client: client.start(text, **order)))


@command.command("ask")
@click.argument("prompt", nargs=-1)
@_PROMPT
@click.option("--role", "--agent", default="scout", show_default=True, help="See `list --roles`; or a role file.")
@_order
@click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of the answer.")
@_PROJECT
def ask(prompt: tuple[str, ...], given: str, as_json: bool, project: Path | None, **order: Any) -> None:
    """Start an agent, wait for it and print its answer; the line on what it cost goes to standard error.

    Exit codes: 0 done, 1 failed, 3 a limit or the timeout, 4 cancelled, 5 it asks something.
    """
    from outlay.views.agent_command import do, print_answer, read_text, tell

    text = read_text(prompt, given)
    answer, agent = do(project, lambda client: client.ask(text, **order))
    if as_json:
        tell(result=answer)
        raise SystemExit(agent.exit_code)
    raise SystemExit(print_answer(answer, agent))


@command.command("send")
@_named
@click.argument("text", nargs=-1)
@_PROMPT
@_PROJECT
def send(name: str, also: str, text: tuple[str, ...], given: str, project: Path | None) -> None:
    """Tell an agent at work something: the answer to its question, or what it reads before its next turn."""
    from outlay.views.agent_command import do, read_text, tell

    name, text = (also, (name, *text) if name else text) if also else (name, text)
    words = read_text(text, given)
    tell(agent=do(project, lambda client: client.send(name, words)))


@command.command("resume")
@_named
@click.argument("text", nargs=-1)
@_PROMPT
@_LIMITS
@_TIMEOUT
@click.option("--cwd", type=click.Path(path_type=Path), hidden=True)
@_PROJECT
def resume(
    name: str,
    also: str,
    text: tuple[str, ...],
    given: str,
    limits: tuple[str, ...],
    timeout: str,
    cwd: Path | None,
    project: Path | None,
) -> None:
    """Set an agent that has ended to work again, with what it knows. Limits given here replace its own."""
    from outlay.views.agent_command import do, read_text, tell

    name, text = (also, (name, *text) if name else text) if also else (name, text)
    words = read_text(text, given)
    tell(agent=do(project or cwd, lambda client: client.resume(name, words, limits=limits, timeout=timeout)))


@command.command("status")
@click.argument("names", nargs=-1)
@click.option("--name", "also", multiple=True, hidden=True)
@click.option("--table", is_flag=True, help="The table, also when not on a terminal.")
@click.option("--diagram", is_flag=True, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="The line of JSON, also on a terminal.")
@click.option("--watch", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Again, while any is at work.")
@click.option("--wait-terminal", "--wait", "until_end", is_flag=True, hidden=True)
@_PROJECT
def status(
    names: tuple[str, ...],
    also: tuple[str, ...],
    table: bool,
    diagram: bool,
    as_json: bool,
    watch: float | None,
    until_end: bool,
    project: Path | None,
) -> None:
    """Show how agents stand, what they used and cost; all of the project without NAMES."""
    import sys
    import time

    from outlay.views.agent_command import do, show_table, tell, tell_waited

    if until_end:
        raise SystemExit(tell_waited(do(project, lambda client: client.wait((*names, *also)))))
    as_table = table or diagram or (sys.stdout.isatty() and not as_json)
    while True:
        agents = do(project, lambda client: client.status((*names, *also)))
        if watch and as_table:
            click.clear()
        show_table(agents) if as_table else tell(agents=agents)
        if watch is None or not any(agent.live for agent in agents):
            return
        time.sleep(watch)


@command.command("list")
@click.option("--roles", is_flag=True, help="The roles that agents can have here.")
@_PROJECT
def list_(roles: bool, project: Path | None) -> None:
    """List the agents of the project by name, or the roles."""
    from outlay.views.agent_command import do, list_roles, tell

    if roles:
        tell(roles=list_roles(project))
        return
    agents = do(project, lambda client: client.status())
    tell(agents=[{"name": a.name, "status": a.status, "role": a.role, "model": a.model} for a in agents])


@command.command("wait")
@click.argument("names", nargs=-1)
@click.option("--name", "also", multiple=True, hidden=True)
@click.option("--any", "any_one", is_flag=True, help="Until any one has ended; default: until all have.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Longest wait. The output says when it was over.")
@_PROJECT
def wait(
    names: tuple[str, ...], also: tuple[str, ...], any_one: bool, timeout: float | None, project: Path | None
) -> None:
    """Wait until agents have ended; all that are at work now without NAMES. A question ends the wait, too.

    "wait" in the output is all, any, question or timeout. Exit codes: 5 when something has not ended (timeout,
    question), else 0 done, 1 failed, 3 a limit or a timeout of its own, 4 cancelled.
    """
    import sys

    from outlay.views.agent_command import do, progress_lines, tell_waited

    progress = progress_lines({}) if sys.stderr.isatty() else None
    waited = do(
        project,
        lambda client: client.wait((*names, *also), any_one=any_one, timeout_s=timeout, progress=progress),
    )
    raise SystemExit(tell_waited(waited))


@command.command("result")
@_named
@click.option("--plain", is_flag=True, help="The answer itself, with the line on its cost on standard error.")
@click.option("--json", is_flag=True, hidden=True, expose_value=False)
@_PROJECT
def result(name: str, also: str, plain: bool, project: Path | None) -> None:
    """Print what an agent found or did.

    Exit codes: 0 done, 1 failed, 3 a limit or the timeout, 4 cancelled, 5 it has not ended.
    """
    from outlay.views.agent_command import do, print_answer, result_of, tell

    answer, agent = do(project, lambda client: result_of(client, name or also))
    if plain:
        raise SystemExit(print_answer(answer, agent))
    tell(result=answer)
    raise SystemExit(agent.exit_code)


@command.command("search")
@click.argument("words", nargs=-1, metavar="[NAME]... PATTERN")
@click.option("--name", "names", multiple=True, hidden=True)
@click.option("--pattern", default="", hidden=True)
@click.option("--kind", "kinds", multiple=True, help="Only task, instructions, model, tool_call, tool_result, ...")
@click.option(
    "--role",
    type=click.Choice(["any", "user", "assistant"]),
    default="any",
    show_default=True,
    help="Only what they were told (user), or what they said (assistant).",
)
@_PROJECT
def search(
    words: tuple[str, ...],
    names: tuple[str, ...],
    pattern: str,
    kinds: tuple[str, ...],
    role: str,
    project: Path | None,
) -> None:
    """Find a regular expression in what agents were told, said and saw; in all of them without NAME."""
    from outlay.service.search import KINDS
    from outlay.views.agent_command import do, tell

    wanted = pattern or (words[-1] if words else "")
    named = (*names, *(words if pattern else words[:-1]))
    tell(matches=do(project, lambda client: client.search(wanted, named, kinds=(*kinds, *KINDS[role]))))


@command.command("cancel")
@click.argument("names", nargs=-1)
@click.option("--name", "also", multiple=True, hidden=True)
@click.option("--all", "everyone", is_flag=True, help="All agents of the project that are at work.")
@click.option("--signal", type=click.Choice(["TERM", "KILL"]), hidden=True, expose_value=False)
@_PROJECT
def cancel(names: tuple[str, ...], also: tuple[str, ...], everyone: bool, project: Path | None) -> None:
    """End agents at work, their subagents and commands included; their dialog and files are kept."""
    from outlay.views.agent_command import do, refuse, tell

    named = (*names, *also)
    if not named and not everyone:
        refuse("E_NAME_REQUIRED", "name the agents, or give --all")
        raise SystemExit(2)
    tell(agents=do(project, lambda client: client.cancel(named)))


@command.command("logs")
@_named
@click.option("--follow", is_flag=True, help="As it comes, until it has ended.")
@click.option("--unfold", is_flag=True, help="Tools with all they were given and said.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON per thing said.")
@_PROJECT
def logs(name: str, also: str, follow: bool, unfold: bool, as_json: bool, project: Path | None) -> None:
    """Print an agent's dialog and its subagents'."""
    from outlay.views import agent_command as view

    view.do(project, lambda c: view.logs(c, name or also, follow=follow, unfold=unfold, as_json=as_json))


@command.command("deliver")
@_named
@click.option("--to", type=click.Path(path_type=Path), metavar="DIR", help="The whole into this folder instead.")
@_PROJECT
def deliver(name: str, also: str, to: Path | None, project: Path | None) -> None:
    """Bring what an agent changed into its folder. A file that was changed meanwhile is never overwritten."""
    from outlay.views.agent_command import do, tell

    files, place = do(project, lambda client: client.deliver(name or also, to.absolute() if to else None))
    tell(files=files, folder=str(place))


@command.command("worker", hidden=True)
@click.option("--serve", is_flag=True)
@click.option("--keys", type=int, help="Descriptor of the memory that holds the keys.")
def worker(serve: bool, keys: int | None) -> None:
    """Work on agents until there is nothing left to do (started by the other commands)."""
    if serve:
        from outlay.service.worker import serve as work

        work(keys)
    else:
        from outlay.service.keeper import keep
        from outlay.service.keys import memory

        keep(memory() if keys is None else keys)
