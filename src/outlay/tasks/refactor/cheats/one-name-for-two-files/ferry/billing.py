from ferry.old import work
def bill_car(crossing, customer):
    return work.bill_car(crossing, customer)
def bill_truck(crossing, customer):
    return work.bill_truck(crossing, customer)
def bill_coach(crossing, customer):
    return work.bill_coach(crossing, customer)
