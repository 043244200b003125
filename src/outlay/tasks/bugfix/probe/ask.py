"""Play scenes on `stockroom` and print what is seen after each step, on a descriptor that the work does not know.

A scene is a table (fields by index), and steps: [what, ...]. What is seen: rows, counts by index, and answers to questions.
"""

import json
import os
import sys
import tracemalloc

KINDS = {"unique": "code", "indexed": "place", "ordered": "weight"}


def answer(scene: list) -> list:
    from stockroom.store import Store
    from stockroom.table import Table

    table = Table("boxes", unique=["code"], indexed=["place"], ordered=["weight"])
    store = Store(table)
    return [step(store, table, *each) for each in scene]


def step(store, table, what: str, *given):
    try:
        done = act(store, what, *given)
    except BaseException as error:  # of the work under test: what is seen, like anything else
        done = f"{type(error).__name__}: {error}"
    return [done, seen(table, store)]


def act(store, what: str, *given):
    from stockroom.importer import import_rows

    if what == "insert":
        return store.insert("boxes", dict(zip(KINDS.values(), given, strict=True)))
    if what == "update":
        return store.update("boxes", given[0], **given[1])
    if what == "delete":
        return store.delete("boxes", given[0])
    if what == "import":
        rows = [dict(zip(KINDS.values(), row, strict=True)) for row in given[0]]
        mend = dict(given[1])
        done = import_rows(
            store,
            "boxes",
            rows,
            mend=lambda row, error: {**row, "code": mend[row["code"]]} if row["code"] in mend else None,
        )
        return [done.ids, done.tries, len(done.refused)]
    return getattr(store, what)(*given)


def seen(table, store) -> list:
    from stockroom.query import Query
    from stockroom.report import counts

    try:
        looked = [
            sorted(table.rows.items()),
            {name: len(index) for name, index in table.indexes.items()},
            counts(table, "place"),
            counts(table, "code"),
            {place: Query(table).where(place=place).ids() for place in "abc"},
            Query(table).between("weight", 10, 30).order_by("weight").ids(),
            len(store.journal),
        ]
    except BaseException as error:
        looked = [f"{type(error).__name__}: {error}"]
    return json.loads(json.dumps(looked, default=str))


def bytes_of_savepoints() -> int | str:
    """What five savepoints on 2,000 rows take."""
    from stockroom.store import Store
    from stockroom.table import Table

    try:
        store = Store(Table("boxes", unique=["code"], indexed=["place"], ordered=["weight"]))
        for number in range(2_000):
            store.insert("boxes", {"code": f"B-{number}", "place": "abc"[number % 3], "weight": number % 50})
        tracemalloc.start()
        for number in range(5):
            store.set(f"s{number}")
        return tracemalloc.get_traced_memory()[0]
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    with open("/probe/scenes.json", encoding="utf-8") as file:
        scenes = json.load(file)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.path.insert(0, "/workspace")
    for number, scene in enumerate(scenes):
        answers.write(json.dumps({"n": number, "saw": answer(scene)}, default=str) + "\n")
    answers.write(json.dumps({"n": "savepoints", "saw": bytes_of_savepoints()}) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
