from ferry.billing import MADE
def statement(bills, year, month):
    return MADE[3](bills, year, month)
