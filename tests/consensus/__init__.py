"""Tests of the consensus core, its bytes and its rules; row ids (A1, D2, ...) are those of the design's checklist."""
