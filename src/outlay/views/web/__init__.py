"""The window in a browser: `outlay serve`. It reads the ledger like every other view, and steers by the functions that
the commands use."""
