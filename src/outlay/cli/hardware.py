"""`outlay hardware`."""

from __future__ import annotations

from typing import Any

import click


@click.group("hardware")
def command() -> None:
    """Which open models fit a device, how fast they run there, and what their tokens cost.

    \b
    outlay hardware fit dgx-spark
    outlay hardware fit rtx-4090 llama-3-8b --context 16000
    outlay hardware compare gpt-oss-120b
    """


@command.command("fit")
@click.argument("device")
@click.argument("model", required=False)
@click.option("--as", "quantisation", default="", help="Only this quantisation: BF16, FP8, Q8_0, Q4_K_M, MXFP4, ...")
@click.option("--context", default=32_000, show_default=True, help="Tokens of context of each request.")
@click.option("--gpus", default=1, show_default=True, help="How many of the device work together.")
@click.option("--calibrate", default="", help="Use the measured speed of this model id in your ledger (20 calls).")
@click.option("--json", "as_json", is_flag=True, help="Every figure as JSON.")
def fit(
    device: str, model: str | None, quantisation: str, context: int, gpus: int, calibrate: str, as_json: bool
) -> None:
    """Show which models fit DEVICE, with speeds and their error bands."""
    import msgspec

    from outlay.views import hardware

    rows = hardware.fit_rows(device, model, quantisation, context, gpus, calibrate)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(hardware.fit_json(rows)), indent=1))
        return
    _print(hardware.fit_table(rows))
    _notes(rows)
    if model and (found := hardware.measured(model)):
        click.echo(f"your ledger: {found.calls:,} calls, {found.decode_tps:,.1f} tok/s (median, prompt included)")


@command.command("compare")
@click.argument("model")
@click.option("--as", "quantisation", default="", help="Only this quantisation.")
@click.option("--context", default=32_000, show_default=True, help="Tokens of context of each request.")
@click.option("--usd-hour", type=float, help="What an hour of a device costs, instead of the market's range.")
@click.option("--json", "as_json", is_flag=True, help="Every figure as JSON.")
def compare(model: str, quantisation: str, context: int, usd_hour: float | None, as_json: bool) -> None:
    """Show MODEL on every device, the fastest first, with money per million tokens."""
    import msgspec

    from outlay.views import hardware

    rows = hardware.compare_rows(model, quantisation, context)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(hardware.fit_json(rows)), indent=1))
        return
    _print(hardware.fit_table(rows, by_device=True))
    money = hardware.money_table(rows, usd_hour)
    if money.rows:
        click.echo()
        _print(money)
    _notes(rows)


def _print(table: Any) -> None:
    from outlay.views.pay_print import print_table

    print_table(table)


def _notes(rows: object) -> None:
    click.echo(
        "\nSpeeds are predictions, 25 % either way (tok/s: one request; all: as many as fit); ? and blank: not known."
    )
    click.echo("A GB figure with +? leaves out the KV cache, whose size is not known for that model.")
