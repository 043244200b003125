from ferry.old import work
def statement(bills, year, month):
    return work.statement(bills, year, month)
