"""Monthly statements."""


def statement(bills, year, month):
    chosen = [bill for bill in bills if _when(bill) == (year, month)]
    out = [f"Statement {year}-{month:02}"]
    for name in sorted({bill["customer"] for bill in chosen}):
        out += _of_one(name, [bill for bill in chosen if bill["customer"] == name])
    out += ["", _row("All", _sum(chosen, "total")), _row("VAT in it", _sum(chosen, "vat"))]
    return "\n".join(out) + "\n"


def _of_one(name, bills):
    rows = ["", name]
    rows += [f"  {bill['date']} {bill['kind']:6}{_amount(bill['total'])}" for bill in bills]
    rows.append(_row("  total", _sum(bills, "total")))
    if len(bills) > 1:
        dearest = max(bills, key=lambda bill: bill["total"])
        rows.append(f"  dearest: {dearest['kind']} on {dearest['date']}")
    return rows


def _when(bill):
    year, month, _ = bill["date"].split("-")
    return int(year), int(month)


def _sum(bills, field):
    return sum(bill[field] for bill in bills)


def _row(text, cents):
    return f"{text:19}{_amount(cents)}"


def _amount(cents):
    euros, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{euros}.{rest:02}".rjust(12)
