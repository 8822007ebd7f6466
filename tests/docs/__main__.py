"""`python -m tests.docs`: what becomes of every command of the documentation."""

from __future__ import annotations

from tests.docs.report import describe

if __name__ == "__main__":
    print("\n".join(describe()))
