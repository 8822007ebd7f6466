"""Claims: value that is somebody's but could not be given to him when it was due, because a rule kept it from him.

Whatever a module gives back (an expired escrow, an exit from a farm or a stake, a refund) goes through `give_back`: to the owner if he
may receive it, else into a claim that he takes when he may. So nothing is lost, nothing waits for a compliance officer, and no
automatic action fails for it. Source: ledger rules, section 1.4.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.modules.fields import NUMBER
from state.modules.gate import require_position
from state.modules.operation import CLAIMS, CLAIMS_ADDRESS, Level, OpContext, Operation
from state.primitives.errors import OperationFailed
from state.receipts import CLAIM_PARKED, CLAIM_TAKEN
from state.schema import HOLDING
from state.schema_claims import CLAIM, claim_key, claims_key


def give_back(context: OpContext, owner: bytes, code: bytes, amount: int) -> bool:
    """Give an account what is its own, `amount` > 0, taken from a module before; False if it went into a claim."""
    try:
        context.credit(owner, code, amount, is_return=True)
    except OperationFailed as failure:
        park(context, owner, code, amount, failure.result)
        return False
    return True


def park(context: OpContext, owner: bytes, code: bytes, amount: int, reason: int) -> None:
    """Make a claim of value that was taken from a module before."""
    view = context.view
    number, waiting = view.get(claims_key(owner)) or (0, 0)
    context.give(CLAIMS_ADDRESS, code, amount)
    asset = code.decode("ascii")
    view.put(claim_key(owner, number), (asset, amount, int(reason), context.time_s))
    view.put(claims_key(owner), (number + 1, waiting + 1))
    context.emit(CLAIM_PARKED, owner, number, asset, amount, int(reason))


def take(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """claim.take of one's own claim: 701, then what still keeps it from its owner."""
    (number,) = args
    view = context.view
    record = view.get(claim_key(account, number))
    if record is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"there is no claim {number}")
    asset, amount, _, _ = record
    code = asset.encode("ascii")
    require_position(context, account, code, is_exit=True)
    given, waiting = view.get(claims_key(account))
    view.put(claim_key(account, number), None)
    view.put(claims_key(account), (given, waiting - 1))
    context.take(CLAIMS_ADDRESS, code, amount)
    context.credit(account, code, amount, is_return=True)
    context.emit(CLAIM_TAKEN, account, number, asset, amount)


def drop(context: OpContext, owner: bytes, number: int, asset: str) -> int:
    """Delete a claim of an asset by authority; what it was of, taken from the account of claims: 701."""
    view = context.view
    record = view.get(claim_key(owner, number))
    if record is None or record[0] != asset:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"the holder has no claim {number} of {asset}")
    given, waiting = view.get(claims_key(owner))
    view.put(claim_key(owner, number), None)
    view.put(claims_key(owner), (given, waiting - 1))
    amount: int = record[1]
    context.take(CLAIMS_ADDRESS, asset.encode("ascii"), amount)
    return amount


OPERATIONS: Final = (
    Operation(
        code=74,
        name="claim.take",
        module="claim",
        fields=(("claim", NUMBER),),
        level=Level.LOW,
        handler=take,
        codes=(Code.PENDING_NOT_FOUND,),
        writes=frozenset({HOLDING, CLAIM}),
        moves_value=True,
        touches=frozenset({CLAIMS}),
    ),
)
