"""The tools of a session, by what they touch."""
