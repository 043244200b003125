"""What can go wrong, as one tree."""


class StockroomError(Exception):
    """Root of the tree."""


class Invalid(StockroomError):
    """A record that breaks a rule of its kind."""

    def __init__(self, kind: str, field: str, why: str) -> None:
        super().__init__(f"{kind}.{field}: {why}")
        self.kind, self.field, self.why = kind, field, why


class Missing(StockroomError):
    """No record has this id."""


class Duplicate(StockroomError):
    """A unique value is taken."""

    def __init__(self, table: str, field: str, value: object) -> None:
        super().__init__(f"{table}.{field} = {value!r} is taken")
        self.table, self.field, self.value = table, field, value


class NoSavepoint(StockroomError):
    """A savepoint that was released, or rolled back over."""
