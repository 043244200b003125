"""A discounted cash flow by the house rules."""

SEGMENTS = ("pumps", "valves", "service")


def value(assumptions):
    a = assumptions
    revenue = revenues(a)
    ebit = [r * margin for r, margin in zip(revenue, a["ebit_margin"])]
    flows = free_cash_flows(a, revenue, ebit)
    wacc = cost_of_capital(a)
    terminal = flows[-1] * (1 + a["terminal_growth"]) / (wacc - a["terminal_growth"])
    discounted = sum(flow / (1 + wacc) ** (year + 0.5) for year, flow in enumerate(flows))
    enterprise = discounted + terminal / (1 + wacc) ** 4.5
    equity = enterprise - a["net_debt"] - a["minority"]
    return {
        "revenue": revenue,
        "ebit": ebit,
        "free_cash_flow": flows,
        "wacc": wacc,
        "terminal_value": terminal,
        "enterprise_value": enterprise,
        "equity_value": equity,
        "value_per_share": equity / a["shares"],
    }


def revenues(a):
    now = dict(a["revenue_2026"])
    years = [sum(now[segment] for segment in SEGMENTS)]
    for year in range(4):
        now = {segment: now[segment] * (1 + a["growth"][segment][year]) for segment in SEGMENTS}
        years.append(sum(now.values()))
    return years


def free_cash_flows(a, revenue, ebit):
    flows, before = [], a["revenue_2025"]
    for now, earned, tax in zip(revenue, ebit, a["tax_rate"]):
        invested = now * (a["capex_rate"] - a["depreciation_rate"]) + (now - before) * a["working_capital_rate"]
        flows.append(earned * (1 - tax) - invested)
        before = now
    return flows


def cost_of_capital(a):
    equity = a["risk_free"] + a["beta"] * a["premium"]
    debt = a["cost_of_debt"] * (1 - a["tax_rate"][4])
    return (1 - a["debt_share"]) * equity + a["debt_share"] * debt
