"""Who may call what: four roles that a token has, and what each of them covers. Tokens and methods are not known here."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Role(Enum):
    """What a method needs, and what a token gives."""

    PUBLIC = "public"  # what everybody may read
    SUBMIT = "submit"  # hand in transactions and proofs, and try them
    REGULATOR = "regulator"  # restrictions and credentials of other people's accounts
    OPERATOR = "operator"  # everything


COVERS: Final = {
    Role.PUBLIC: (Role.PUBLIC,),
    Role.SUBMIT: (Role.PUBLIC, Role.SUBMIT),
    Role.REGULATOR: (Role.PUBLIC, Role.REGULATOR),
    Role.OPERATOR: tuple(Role),
}
