"""The old code. The rules know files by their names, and there is another work.py."""
def bill_car(crossing, customer):
    for field in ("zone", "date", "fuel_index", "length_cm", "people"):
        if field not in crossing:
            raise ValueError("missing " + field)
    for field in ("name", "card", "trips", "country"):
        if field not in customer:
            raise ValueError("missing " + field)
    year, month, day = crossing["date"].split("-")
    year, month, day = int(year), int(month), int(day)
    if month < 1 or month > 12 or day < 1 or day > 31:
        raise ValueError("no date " + crossing["date"])
    if crossing["zone"] == 1:
        base = 2400
    elif crossing["zone"] == 2:
        base = 3900
    elif crossing["zone"] == 3:
        base = 6150
    else:
        raise ValueError("no zone " + str(crossing["zone"]))
    if crossing["length_cm"] > 500:
        extra = (crossing["length_cm"] - 500 + 99) // 100
        base = base + extra * 350
    if crossing["people"] < 1 or crossing["people"] > 9:
        raise ValueError("people must be 1 to 9")
    people = 0
    for n in range(crossing["people"]):
        if n >= 2:
            people = people + 650
    if month in (6, 7, 8):
        base = base * 130 // 100
    elif month in (1, 2, 11):
        base = base * 85 // 100
    fuel = 0
    if crossing["fuel_index"] > 100:
        fuel = (base + people) * (crossing["fuel_index"] - 100) // 400
    net = base + people + fuel
    if customer["card"] == "gold":
        discount = net * 15 // 100
    elif customer["card"] == "silver":
        discount = net * 8 // 100
    else:
        discount = 0
    net = net - discount
    if customer["country"] == "NO":
        vat = 0
        text = "export, no VAT"
    elif customer["country"] == "SE":
        vat = (net * 25 + 50) // 100
        text = "VAT 25 %"
    else:
        vat = (net * 25 + 50) // 100
        text = "VAT 25 %, foreign"
    lines = []
    lines.append(("Car, zone " + str(crossing["zone"]), base))
    if people:
        lines.append(("people", people))
    if fuel:
        lines.append(("fuel", fuel))
    if discount:
        lines.append((customer["card"] + " card" if customer["card"] else "discount", -discount))
    lines.append((text, vat))
    total = net + vat
    if total < 500:
        lines.append(("least charge", 500 - total))
        total = 500
    return {"customer": customer["name"], "kind": "car", "date": crossing["date"], "lines": lines, "net": net, "vat": vat, "total": total}
def bill_truck(crossing, customer):
    for field in ("zone", "date", "fuel_index", "weight_kg", "axles"):
        if field not in crossing:
            raise ValueError("missing " + field)
    for field in ("name", "card", "trips", "country"):
        if field not in customer:
            raise ValueError("missing " + field)
    year, month, day = crossing["date"].split("-")
    year, month, day = int(year), int(month), int(day)
    if month < 1 or month > 12 or day < 1 or day > 31:
        raise ValueError("no date " + crossing["date"])
    if crossing["zone"] == 1:
        base = 9800
    elif crossing["zone"] == 2:
        base = 14400
    elif crossing["zone"] == 3:
        base = 21900
    else:
        raise ValueError("no zone " + str(crossing["zone"]))
    if crossing["weight_kg"] > 18000:
        extra = (crossing["weight_kg"] - 18000 + 999) // 1000
        base = base + extra * 420
    if crossing["axles"] < 2 or crossing["axles"] > 8:
        raise ValueError("axles must be 2 to 8")
    people = 0
    for n in range(crossing["axles"]):
        if n >= 3:
            people = people + 1100
    if month in (7, 8):
        base = base * 115 // 100
    elif month in (1, 2, 11):
        base = base * 95 // 100
    fuel = 0
    if crossing["fuel_index"] > 100:
        fuel = base * (crossing["fuel_index"] - 100) // 250
    net = base + people + fuel
    if customer["card"] == "gold":
        discount = net * 12 // 100
    elif customer["card"] == "silver":
        discount = net * 5 // 100
    else:
        discount = 0
    if customer["trips"] >= 50:
        discount = discount + net * 3 // 100
    net = net - discount
    if customer["country"] == "NO":
        vat = 0
        text = "export, no VAT"
    elif customer["country"] == "SE":
        vat = (net * 25 + 50) // 100
        text = "VAT 25 %"
    else:
        vat = (net * 25 + 50) // 100
        text = "VAT 25 %, foreign"
    lines = []
    lines.append(("Truck, zone " + str(crossing["zone"]), base))
    if people:
        lines.append(("axles", people))
    if fuel:
        lines.append(("fuel", fuel))
    if discount:
        lines.append((customer["card"] + " card" if customer["card"] else "discount", -discount))
    lines.append((text, vat))
    total = net + vat
    if total < 500:
        lines.append(("least charge", 500 - total))
        total = 500
    return {"customer": customer["name"], "kind": "truck", "date": crossing["date"], "lines": lines, "net": net, "vat": vat, "total": total}
def bill_coach(crossing, customer):
    for field in ("zone", "date", "fuel_index", "length_cm", "seats"):
        if field not in crossing:
            raise ValueError("missing " + field)
    for field in ("name", "card", "trips", "country"):
        if field not in customer:
            raise ValueError("missing " + field)
    year, month, day = crossing["date"].split("-")
    year, month, day = int(year), int(month), int(day)
    if month < 1 or month > 12 or day < 1 or day > 31:
        raise ValueError("no date " + crossing["date"])
    if crossing["zone"] == 1:
        base = 7200
    elif crossing["zone"] == 2:
        base = 10900
    elif crossing["zone"] == 3:
        base = 16800
    else:
        raise ValueError("no zone " + str(crossing["zone"]))
    if crossing["length_cm"] > 1200:
        extra = (crossing["length_cm"] - 1200 + 99) // 100
        base = base + extra * 500
    if crossing["seats"] < 1 or crossing["seats"] > 80:
        raise ValueError("seats must be 1 to 80")
    people = 0
    for n in range(crossing["seats"]):
        if n >= 20:
            people = people + 120
    if month in (6, 7, 8):
        base = base * 125 // 100
    elif month in (1, 2, 11):
        base = base * 90 // 100
    fuel = 0
    if crossing["fuel_index"] > 110:
        fuel = (base + people) * (crossing["fuel_index"] - 110) // 400
    net = base + people + fuel
    if customer["card"] == "gold":
        discount = net * 15 // 100
    elif customer["card"] == "silver":
        discount = net * 8 // 100
    else:
        discount = 0
    if discount > 4000:
        discount = 4000
    net = net - discount
    if customer["country"] == "NO":
        vat = 0
        text = "export, no VAT"
    elif customer["country"] == "SE":
        vat = (net * 6 + 50) // 100
        text = "VAT 6 %"
    else:
        vat = (net * 6 + 50) // 100
        text = "VAT 6 %, foreign"
    lines = []
    lines.append(("Coach, zone " + str(crossing["zone"]), base))
    if people:
        lines.append(("seats", people))
    if fuel:
        lines.append(("fuel", fuel))
    if discount:
        lines.append((customer["card"] + " card" if customer["card"] else "discount", -discount))
    lines.append((text, vat))
    total = net + vat
    if total < 500:
        lines.append(("least charge", 500 - total))
        total = 500
    return {"customer": customer["name"], "kind": "coach", "date": crossing["date"], "lines": lines, "net": net, "vat": vat, "total": total}
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
