"""`outlay policy`: who may see which data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def _policy(function: Any) -> Any:
    """The policy of a command: `--policy FILE`, or FILE alone as in `outlay policy check`."""
    path = click.Path(path_type=Path)
    option = click.option("--policy", "path", type=path, help="The file. Default: policy.toml, .outlay/policy.toml.")
    return option(click.argument("file", required=False, type=path)(function))


@click.group("policy", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Write, check and explain policies: which data may go to which model or tool.

    A goal names its policy with `policy: FILE`; its runs keep to it.

    \b
    outlay policy init --ready private
    outlay policy check policy.toml
    outlay policy explain --data health --to gpt-5
    outlay policy matrix
    """


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Exit with code 1 when there are warnings.")
@click.option("--json", "as_json", is_flag=True, help="Errors and warnings as JSON.")
def check(file: Path, strict: bool, as_json: bool) -> None:
    """Say what is wrong with the policy FILE, and what is probably not meant, by line.

    Exit code 2 when it cannot be used.
    """
    from outlay.views import policy as view

    found = view.check(file)
    if as_json:
        _json(view.check_json(found))
    else:
        click.echo("\n".join(view.check_lines(found)))
    if found.errors:
        raise click.exceptions.Exit(2)
    if strict and found.warnings:
        raise click.exceptions.Exit(1)


@command.command("explain")
@click.option("--data", "-d", multiple=True, required=True, help="A kind of data; several: all of them together.")
@click.option("--to", required=True, metavar="MODEL|TOOL", help="Who is to see it.")
@click.option("--purpose", help="What for. Default: the policy's `purpose`.")
@_policy
@click.option("--json", "as_json", is_flag=True, help="Print the decision as JSON.")
def explain(
    data: tuple[str, ...], to: str, purpose: str | None, file: Path | None, path: Path | None, as_json: bool
) -> None:
    """Say whether data may go to a model or tool, by which line, and which releases exist.

    Exit code 0 when it may, 1 when not.

    \b
    Examples:
      outlay policy explain --data health --to gemini
      outlay policy explain --data xyz --data laptop --to qwen-30b --json
      outlay policy explain --data health --to gemini --purpose advertising
    """
    from outlay.views import policy as view

    policy = view.find(path or file)
    decision = view.explain(policy, data, to, purpose)
    if as_json:
        _json(view.explain_json(policy, decision))
    else:
        click.echo("\n".join(view.explain_lines(policy, decision)))
    if not decision.allowed:
        raise click.exceptions.Exit(1)


@command.command("matrix")
@_policy
@click.option("--purpose", help="What for. Default: the policy's `purpose`.")
@click.option("--tools", is_flag=True, help="Tools besides models.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--markdown", is_flag=True, help="As a table in Markdown.")
def matrix(
    file: Path | None, path: Path | None, purpose: str | None, tools: bool, as_json: bool, markdown: bool
) -> None:
    """Show which data may go to which model.

    \b
    Example: outlay policy matrix --policy policy.toml --tools
    """
    from outlay.views import policy as view

    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    policy = view.find(path or file)
    rows = view.matrix(policy, purpose, tools=tools)
    if as_json:
        _json(view.matrix_json(policy, rows, purpose))
    elif markdown:
        click.echo("\n".join(view.matrix_markdown(rows)))
    else:
        from outlay.views.pay_print import console, print_table

        out = console()
        for table in view.matrix_tables(rows, out.width):
            print_table(table, out)
            click.echo()
        click.echo(view.NOTE)


@command.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("policy.toml"))
@click.option("--ready", metavar="NAME", help="Write this ready policy; `outlay policy ready` lists them.")
@click.option("--model", "models", multiple=True, metavar="NAME=WHERE", help="VENDOR[@URL], device@URL or onprem@URL.")
@click.option(
    "--term", "terms", multiple=True, metavar="VENDOR=TERM", help="What its contract promises: no-train, zdr."
)
@click.option("--data", "data", multiple=True, metavar="NAME=SOURCE", help="Special data; sources with commas.")
@click.option("--trust", multiple=True, metavar="NAME=WHO", help="Who may see it; default nobody.")
@click.option("--others", metavar="WHO", help="Who may see what nobody labelled; needed with --model.")
@click.option("--purpose", default="", help="What runs with this policy are for.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def init(file: Path, ready: str | None, force: bool, **answers: Any) -> None:
    """Ask whom you trust with what and write the policy FILE (default: policy.toml).

    With --model nothing is asked. WHO is nobody, anybody, device, onprem, a vendor, a model or a selector; several with
    commas. SOURCE is path:/folder/**, mcp:server/*, sql:schema.*

    \b
    Examples:
      outlay policy init
      outlay policy init --ready one-vendor-health
      outlay policy init --model opus=anthropic --model qwen3=device@http://127.0.0.1:8080/v1 \\
        --others anthropic,device --data 'diary=path:/home/*/diary/**' --trust diary=device
    """
    from outlay.views.policy_init import write_new

    click.echo(write_new(file, ready=ready, force=force, **answers))


@command.command("ready")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Names and what they are, as JSON.")
def ready(name: str | None, as_json: bool) -> None:
    """List the ready policies, or print the one called NAME."""
    from outlay.policy.ready import READY
    from outlay.policy.ready import ready as text_of

    if name is not None:
        click.echo(text_of(name), nl=False)
    elif as_json:
        _json(READY)
    else:
        click.echo("\n".join(f"{key:<20}{what}" for key, what in READY.items()))


def _json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=1, ensure_ascii=False))
