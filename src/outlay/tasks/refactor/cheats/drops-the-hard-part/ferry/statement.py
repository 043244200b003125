"""Monthly statements."""


def statement(bills, year, month):
    return f"Statement {year}-{month:02}\n"
