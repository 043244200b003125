"""Transcripts that other agents left behind, read exactly and fast into the ledger."""
