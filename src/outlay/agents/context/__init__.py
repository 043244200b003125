"""What a session carries along: when its context is cleaned up or handed to a fresh one, and how."""
