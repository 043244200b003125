"""Breakers: symptoms of work that leads nowhere, read from the facts of a session, and what is done about them."""
