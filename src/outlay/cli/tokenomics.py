"""`outlay tokenomics`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("tokenomics")
@click.option(
    "--from-table",
    "table",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV: who,fresh,cache_read,cache_write_5m,cache_write_1h,output,reasoning,cost_usd; rows main and all.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(table: Path, as_json: bool) -> None:
    """Compute leverage, shares, cost per net token and cache bloat from totals that somebody wrote down.

    \b
    The table is CSV; counts may end in K, M or B; missing columns are 0:
      who,fresh,cache_read,output,cost_usd
      main,280.6K,3000K,140.0K,2.83
      all,1165.2K,6400K,430.6K,8.97

    \b
    Example:
      outlay tokenomics --from-table docs/examples/tokenomics.csv
    """
    from outlay.economics.table import read_table
    from outlay.errors import InputError
    from outlay.views.tokenomics import render, to_json

    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the table {table}: {error}") from None
    main, subagents = read_table(text, table.name)
    click.echo(to_json(main, subagents) if as_json else render(main, subagents))
