"""Policies: which data may go to which model or tool. Read, decided and explained here; enforced by nobody yet."""
