"""`outlay top`: every run and agent of the ledger on one terminal screen, live and afterwards.

desk       what is shown, read from the ledger in a thread of its own; knows nothing of screens
pages      a session's dialog, the newest part first
steering   what a person can do, through the functions that the commands use
dialog_view, run_tree, facts, asking    the parts of the screen
app        the parts together: keys, and the loop that keeps them up to date
"""
