"""Stockroom: records of a warehouse in memory, with indexes, savepoints and imports."""
