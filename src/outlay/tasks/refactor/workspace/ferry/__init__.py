"""Bills and statements of a ferry company."""
