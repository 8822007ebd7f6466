"""The travel rule at work: a payment between two institutions from a threshold on carries data, attested by the payee's institution.

The data itself stays off the ledger; the envelope names it by hash, names both institutions by their identifiers, and bears the
attestation of the payee's one: a signature over exactly this payment on exactly this chain, good for one use. An account's institution
is the head of its group; inside of one nothing is asked. No operation goes in here. Source: ledger rules, 1.5 and section 5.

    message = "qenex/travel/1" || chain id (32) || payload hash (32) || payer (32) || payee (32) || length of the asset code (1)
              || asset code || amount (80, big-endian) || valid_until of the transaction (8, big-endian)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from state.codes import Code
from state.events_kyc import TRAVEL_ATTESTED
from state.modules.calendar import schedule
from state.modules.standing import UNKNOWN, find_head, find_jurisdiction
from state.primitives.errors import OperationFailed
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PublicKey
from state.primitives.limits import AMOUNT_BYTES_MAX
from state.schema_kyc import Threshold, Vasp, attested_key, threshold_key, vasp_key
from state.view import View

if TYPE_CHECKING:
    from state.modules.operation import OpContext

DOMAIN: Final = b"qenex/travel/1"
FORGET_ATTESTATION: Final = 50  # kind of the calendar's entry


def attestation_message(
    chain_id: bytes, payload_hash: bytes, payer: bytes, payee: bytes, code: bytes, amount: int, valid_until: int
) -> bytes:
    """What the payee's institution signs; see the module's text."""
    return b"".join(
        (
            DOMAIN,
            chain_id,
            payload_hash,
            payer,
            payee,
            len(code).to_bytes(1, "big"),
            code,
            amount.to_bytes(AMOUNT_BYTES_MAX, "big"),
            valid_until.to_bytes(8, "big"),
        )
    )


def find_threshold(view: View, code: bytes, jurisdictions: tuple[str, ...]) -> int | None:
    """The lowest threshold of an asset for payments between these jurisdictions; None if there is none.

    A jurisdiction without a threshold of its own has the asset's.
    """
    found: list[int] = []
    for name in jurisdictions:
        record: Threshold | None = view.values[threshold_key(name, code)] or view.values[threshold_key("", code)]
        if record is not None:
            found.append(record.amount)
    return min(found, default=None)


def find_institution(view: View, address: bytes) -> bytes:
    """The head of an account's group; the account itself where that is too far."""
    return find_head(view, address) or address


def is_travel_needed(context: OpContext, payer: bytes, payee: bytes, code: bytes, amount: int) -> bool:
    """Whether a payment of an asset with thresholds must carry travel data."""
    view, time_s = context.view, context.time_s
    if find_institution(view, payer) == find_institution(view, payee):
        return False
    jurisdictions = tuple(find_jurisdiction(view, address, time_s) for address in (payer, payee))
    threshold = find_threshold(view, code, tuple("" if name == UNKNOWN else name for name in jurisdictions))
    return threshold is not None and amount >= threshold


def require_travel(context: OpContext, payer: bytes, payee: bytes, code: bytes, amount: int) -> None:
    """Fail unless a payment carries the travel data that it needs: 612, 613. The attestation is used up."""
    if not is_travel_needed(context, payer, payee, code, amount):
        return
    tx, view = context.tx, context.view
    if tx is None or tx.travel is None:
        raise OperationFailed(Code.TRAVEL_DATA_REQUIRED, "the payment must carry travel data")
    _, payload_hash, originator, beneficiary, attestation, _ = tx.travel
    sender: Vasp | None = view.values[vasp_key(find_institution(view, payer))]
    receiver: Vasp | None = view.values[vasp_key(find_institution(view, payee))]
    if sender is None or sender.lei != originator:
        raise OperationFailed(Code.TRAVEL_DATA_REQUIRED, "the travel data does not name the payer's institution")
    if receiver is None or receiver.lei != beneficiary:
        raise OperationFailed(Code.TRAVEL_DATA_REQUIRED, "the travel data does not name the payee's institution")
    message = attestation_message(tx.chain_id, payload_hash, payer, payee, code, amount, tx.valid_until)
    if not attestation or not _is_signed(receiver, attestation, message):
        raise OperationFailed(Code.ATTESTATION_INVALID, "the payee's institution has not attested this payment")
    key = attested_key(sha256(message))
    if view.values[key] is not None:
        raise OperationFailed(Code.ATTESTATION_INVALID, "the attestation was used for another payment")
    view.put(key, (tx.valid_until,))
    schedule(context, FORGET_ATTESTATION, tx.valid_until + 1, key)
    asset = code.decode("ascii")
    context.emit(TRAVEL_ATTESTED, payer, payee, asset, amount, originator, beneficiary, payload_hash)


def _is_signed(vasp: Vasp, attestation: tuple[int, bytes], message: bytes) -> bool:
    key_id, signature = attestation
    for number, kind, data, _ in vasp.keys:
        if number == key_id:
            return PublicKey(KeyKind(kind), data).verify(message, signature, DOMAIN)
    return False


def forget_attestation(context: OpContext, key: bytes) -> None:
    """The transaction that an attestation was made for can no longer enter a block: it need not be remembered."""
    record = context.view.get(key)
    if record is not None and record[0] < context.time_s:
        context.view.put(key, None)
