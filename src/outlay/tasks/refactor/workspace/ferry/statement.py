"""Monthly statements."""


def statement(bills, year, month):
    out = []
    names = []
    for bill in bills:
        y, m, d = bill["date"].split("-")
        if int(y) == year and int(m) == month:
            if bill["customer"] not in names:
                names.append(bill["customer"])
    names.sort()
    out.append("Statement " + str(year) + "-" + ("0" + str(month) if month < 10 else str(month)))
    grand = 0
    grand_vat = 0
    for name in names:
        total = 0
        vat = 0
        count = 0
        worst = None
        out.append("")
        out.append(name)
        for bill in bills:
            y, m, d = bill["date"].split("-")
            if int(y) == year and int(m) == month and bill["customer"] == name:
                count = count + 1
                total = total + bill["total"]
                vat = vat + bill["vat"]
                if worst is None or bill["total"] > worst["total"]:
                    worst = bill
                amount = bill["total"]
                sign = "-" if amount < 0 else ""
                amount = abs(amount)
                euros = str(amount // 100)
                cents = amount % 100
                text = sign + euros + "." + ("0" + str(cents) if cents < 10 else str(cents))
                out.append("  " + bill["date"] + " " + bill["kind"].ljust(6) + text.rjust(12))
        amount = total
        sign = "-" if amount < 0 else ""
        amount = abs(amount)
        euros = str(amount // 100)
        cents = amount % 100
        text = sign + euros + "." + ("0" + str(cents) if cents < 10 else str(cents))
        out.append("  total".ljust(19) + text.rjust(12))
        if count > 1 and worst is not None:
            out.append("  dearest: " + worst["kind"] + " on " + worst["date"])
        grand = grand + total
        grand_vat = grand_vat + vat
    out.append("")
    amount = grand
    sign = "-" if amount < 0 else ""
    amount = abs(amount)
    euros = str(amount // 100)
    cents = amount % 100
    text = sign + euros + "." + ("0" + str(cents) if cents < 10 else str(cents))
    out.append("All".ljust(19) + text.rjust(12))
    amount = grand_vat
    sign = "-" if amount < 0 else ""
    amount = abs(amount)
    euros = str(amount // 100)
    cents = amount % 100
    text = sign + euros + "." + ("0" + str(cents) if cents < 10 else str(cents))
    out.append("VAT in it".ljust(19) + text.rjust(12))
    return "\n".join(out) + "\n"
