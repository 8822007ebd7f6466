"""`qenex attest`, and travel data as a file: what the payee's institution gives to the payer's, who sends the payment with it.

The file is JSON: `scheme`, `payload_hash`, `originator`, `beneficiary`, `reference`, `valid_until`, and `attestation` with `key_id` and
`signature`. The attested transaction has exactly this `valid_until`. No personal data goes in here: it travels between the institutions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from node.cli.comp import read_time
from node.cli.kyc import read_hash_32
from node.cli.options import home_option, node_option, passphrase_option
from node.cli.output import answer, json_option
from node.cli.sending import base_units_option
from node.cli.values import FilePath
from state.primitives.errors import ConfigError, LocalError
from state.primitives.limits import KEY_ID_MAX

_FILE_BYTES_MAX: Final = 64 * 1024  # a hybrid signature in hex takes 10 kB
_HOME_HELP = "Directory whose keys/ holds the keys (default: yours, then the local network's)."


def read_travel(path: Path) -> tuple[tuple[Any, ...], int]:
    """Travel data as the envelope has it, and the valid_until it is attested for. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
        found = json.loads(data[:_FILE_BYTES_MAX])
        attestation = found["attestation"]
        signed = (int(attestation["key_id"]), bytes.fromhex(attestation["signature"])) if attestation else ()
        texts = [str(found[name]) for name in ("scheme", "originator", "beneficiary", "reference")]
        payload = read_hash_32(found["payload_hash"], "payload_hash")
        until = int(found["valid_until"])
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not travel data: {error}", hint="qenex attest makes it") from None
    scheme, originator, beneficiary, reference = texts
    return (scheme, payload, originator, beneficiary, signed, reference), until


@click.command()
@click.option("--key", required=True, metavar="KEY", help="The institution's attestation key.")
@click.option("--key-id", type=click.IntRange(0, KEY_ID_MAX), default=0, show_default=True, help="Its number among the registered keys.")
@click.option("--payer", required=True, metavar="ACCOUNT")
@click.option("--payee", required=True, metavar="ACCOUNT")
@click.option("--amount", required=True, help='Decimal amount in display units, such as "1.25".')
@click.option("--asset", required=True, help="Asset code, such as QNX.")
@click.option("--payload-hash", required=True, help="SHA-256 of the data that was received, 64 hex digits.")
@click.option("--originator", required=True, help="Legal entity identifier of the payer's institution.")
@click.option("--beneficiary", required=True, help="That of the payee's institution.")
@click.option("--scheme", default="ivms101", show_default=True)
@click.option("--reference", default="", help="Where the encrypted data is kept.")
@click.option("--valid-until", required=True, help="Of the payment: 2027-01-31T12:00:00Z or Unix seconds.")
@click.option("--out", type=FilePath(), required=True, help="File to write.")
@base_units_option
@passphrase_option
@node_option
@home_option(_HOME_HELP)
@json_option
def attest(
    key: str,
    key_id: int,
    payer: str,
    payee: str,
    amount: str,
    asset: str,
    payload_hash: str,
    originator: str,
    beneficiary: str,
    scheme: str,
    reference: str,
    valid_until: str,
    out: Path,
    base_units: bool,
    passphrase_file: Path | None,
    node: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Attest that the data of one payment was received: a file that its payer sends with it."""
    from node.cli.amounts import parse_amount
    from node.cli.asking import ask_node
    from node.cli.options import PassphraseReader, find_key_file, resolve_address
    from node.keystore import Role, read_key_file
    from state.modules.travel import DOMAIN, attestation_message

    key_set = read_key_file(find_key_file(key, home), PassphraseReader(passphrase_file), role=Role.USER)
    payload, until = read_hash_32(payload_hash, "--payload-hash"), read_time(valid_until)

    async def ask(client: Any) -> tuple[bytes, int]:
        found = await client.asset(asset)
        if found is None:
            raise ConfigError(f"there is no asset {asset}", hint="asset codes are upper case, such as QNX")
        return await client.chain_id(), parse_amount(amount, int(found["scale"]), asset, base_units=base_units)

    chain_id, units = ask_node(node, ask)
    accounts = resolve_address(payer, home), resolve_address(payee, home)
    message = attestation_message(chain_id, payload, *accounts, asset.encode("ascii"), units, until)
    found = {
        "scheme": scheme,
        "payload_hash": payload.hex(),
        "originator": originator,
        "beneficiary": beneficiary,
        "attestation": {"key_id": key_id, "signature": key_set.key.sign(message, DOMAIN).hex()},
        "reference": reference,
        "valid_until": until,
    }
    try:
        out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise LocalError(f"cannot write {out}: {error.strerror}") from None
    answer(as_json, {"file": str(out), **found}, [f"attested {amount} {asset}, valid until {until}: {out}"])
