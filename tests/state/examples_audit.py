"""The example of an anchor, for `test_authorisation`."""

from __future__ import annotations

from tests.state.authorisation_world import Example

EXAMPLES = (
    # a stranger anchors a log of his own: the name belongs to the account
    Example("audit.anchor", {"log": "node", "entries": 5, "head": bytes(32)}, stranger=None),
)
