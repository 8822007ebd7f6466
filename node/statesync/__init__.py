"""Joining by state instead of by history: snapshots from peers alone, each part proved against a header that was verified first."""
