"""What each page about the ledger takes for granted: who has an account, what he holds, which pool there is. One validator runs."""

from __future__ import annotations

from typing import Final

from tests.docs.scene import Scene, Steps

EURO: Final = "--scale 2 --mint-allowance 100000000"
POWERS: Final = "--with clawback --with freezable --with pausable"


def issue_euro(scene: Scene, *holders: str, options: str = "") -> None:
    """EUR of `issuer`, ten thousand for each of these."""
    scene.tx(f"create-asset EUR {EURO} {options} --from issuer")
    for holder in holders:
        scene.tx(f"mint --asset EUR --amount 10000 --to {holder} --from issuer")


# accounts.md


def begin_accounts(scene: Scene) -> None:
    """Everybody, and the keys that sign for others' accounts."""
    scene.people("owner", "changing", "dual", "boss", "bank", "customer", "fund", "old")
    scene.people("bob", "exchange", "broker", "custodian", "anybody", "desk")
    for name in ("second", "vault1", "vault2", "new", "fresh"):
        scene.key(name)


def change_keys(scene: Scene) -> None:
    """An account whose changes wait for a second; it loses key 0, so another one takes its place."""
    scene.names["owner"] = "changing"
    delays = "--rotation-delay 2 --recovery-delay 3 --recovery-weight 2"
    scene.tx(f"account set-policy --from changing --add-recovery vault1 --add-recovery vault2 {delays}")


def confirm_keys(scene: Scene) -> None:
    """A second change of keys, which nobody vetoes, and which is due."""
    scene.tx("account update-keys --from changing --add new")
    scene.names["ACCOUNT 1"] = f"{scene.address('changing')} 2"
    scene.wait_until_chain_time(3)


def recover_keys(scene: Scene) -> None:
    """The account that is recovered is the same."""
    for name in ("vault1", "vault2"):
        scene.names[f"{name}@ACCOUNT"] = f"{name}@{scene.address('changing')}"


def use_two_persons(scene: Scene) -> None:
    """An account with a checker's key."""
    scene.names["owner"] = "dual"
    scene.names["second@ACCOUNT"] = f"second@{scene.address('dual')}"
    scene.tx("account set-policy --from dual --add-checker second")


def grant(scene: Scene) -> None:
    """An account that gives session keys and delegates."""
    scene.names["owner"] = "boss"
    scene.names["ACCOUNT"] = scene.address("boss")
    scene.names["bot@ACCOUNT"] = f"bot@{scene.address('boss')}"


def end_session(scene: Scene) -> None:
    """The number of the session's key is the ledger's choice."""
    found = scene.ask("qenex query grants boss")
    scene.names["revoke-session 4"] = f"revoke-session {found['grants'][0]['key_id']}"


def close_account(scene: Scene) -> None:
    """Who takes what is left."""
    scene.people("heir")
    scene.names["new"] = "heir"


# assets.md


def begin_assets(scene: Scene) -> None:
    """The issuer and those who get roles."""
    scene.people("issuer", "alice", "bob", "desk", "second", "court", "officer", "mint", "successor", "heir")


def burn_asset(scene: Scene) -> None:
    """The issuer burns what it holds."""
    scene.tx("mint --asset EUR --amount 100 --from issuer")


def use_roles(scene: Scene) -> None:
    """An asset whose power to claw back is still there, with the roles that the page has given out."""
    scene.names[f"EUR{scene.plan.letter}"] = "EURP"
    scene.tx(f"create-asset EURP {EURO} {POWERS} --from issuer")


def hold_again(scene: Scene) -> None:
    """Alice has something again."""
    scene.tx("mint --asset EURP --amount 50 --to alice --from mint")


def destroy_asset(scene: Scene) -> None:
    """An asset of which nothing is left."""
    scene.names[f"EUR{scene.plan.letter}"] = "EURX"
    scene.tx(f"create-asset EURX {EURO} --from issuer")


def recall_hold(scene: Scene) -> None:
    """The hold is what the command before has printed."""
    scene.names["hold/HOLD"] = f"hold/{scene.stage.names['HOLD']}"


def recall_escrow(scene: Scene) -> None:
    """The escrow is what a command before has printed."""
    scene.names["escrow/ESCROW"] = f"escrow/{scene.stage.names['ESCROW']}"


def act_upon_holders(scene: Scene) -> None:
    """Somebody holds it."""
    scene.tx("mint --asset EURP --amount 500 --to alice --from mint")


# amm.md


def begin_pools(scene: Scene) -> None:
    """Two assets, and the pools that the swaps go through."""
    scene.people("issuer", "alice", "bob", "maker")
    issue_euro(scene, "alice", "bob", "maker")
    scene.tx("create-asset BTC --scale 8 --mint-allowance 1000 --from issuer")
    scene.tx("mint --asset BTC --amount 500 --to maker --from issuer")
    scene.tx("create-asset EURS --scale 2 --mint-allowance 1000000 --from issuer")
    scene.tx("mint --asset EURS --amount 10000 --to maker --from issuer")
    scene.tx("amm create --from maker --a EURS --b QNX --amount-a 5000 --amount-b 20500")
    scene.tx("amm create --from maker --a EURS --b BTC --amount-a 1000 --amount-b 10")
    scene.tx("amm create --from maker --a BTC --b QNX --amount-a 10 --amount-b 4100")
    scene.tx("mint --asset EURS --amount 1000 --to alice --from issuer")
    letter = scene.plan.letter
    scene.names |= {f"EUR{letter},QNX": "EURS,QNX", f"EUR{letter},BTC{letter},QNX": f"EURS,BTC{letter},QNX"}


def restrict_pool(scene: Scene) -> None:
    """The issuer has both assets to begin with."""
    scene.tx("mint --asset EUR --amount 5000 --from issuer")


def give_pool_to_domain(scene: Scene) -> None:
    """A domain of the issuer's."""
    scene.names["retail"] = "retail2"
    scene.tx("domain set --domain retail --accept issuer:kyc:1 --from issuer")


# compliance.md


def begin_compliance(scene: Scene) -> None:
    """Carol acts for the authority of a local network; she has no second beside her."""
    scene.people("bob", "issuer", "desk", "second", "officer")
    scene.names["regulator"] = "carol"


def restrict_holdings(scene: Scene) -> None:
    """An asset with every power, and roles."""
    scene.tx(f"create-asset EUR {EURO} {POWERS} --with require_auth --with require_accept --from issuer")
    for role, who in (("freezer", "desk"), ("unfreezer", "second"), ("compliance", "officer")):
        scene.tx(f"asset set-role --asset EUR --role {role} --account {who} --from issuer")


def release_account(scene: Scene) -> None:
    """Where release is not separate the authority itself releases."""
    scene.names["second"] = "carol"


def end_release(scene: Scene) -> None:
    """The issuer's `second` again."""
    del scene.names["second"]
    restrict_holdings(scene)


# farming.md


def begin_farms(scene: Scene) -> None:
    """A pool whose shares bob has, and a sponsor with what is paid."""
    scene.people("issuer", "bob", "fund", qnx=400_000)
    issue_euro(scene, "bob")
    scene.tx("create-asset BTC --scale 8 --mint-allowance 1000 --from issuer")
    scene.tx("mint --asset BTC --amount 5 --to fund --from issuer")
    scene.tx("amm create --from bob --a EUR --b QNX --amount-a 1000 --amount-b 4000")


def claim_rewards(scene: Scene) -> None:
    """Positions without a lock: number 0 is locked by the page, 1 to 3 are not."""
    for _ in range(3):
        scene.tx("farm stake --from bob --farm 0 --amount 5000 --tier 0")
    scene.wait_until_chain_time(1.5)


def claim_one(scene: Scene) -> None:
    """Something has been earned since the last claim."""
    scene.wait_until_chain_time(1.5)


def exit_farm(scene: Scene) -> None:
    """`exit` has emptied position 3; another one is left in a hurry."""
    scene.names["--position 3"] = "--position 2"


def look_at_farm(scene: Scene) -> None:
    """A position that is there."""
    scene.names["farm-position bob 3"] = "farm-position bob 1"


# kyc.md


def begin_kyc(scene: Scene) -> None:
    """Carol is the authority; an asset, a pool of its issuer for members, people; HOME is the node's."""
    scene.people("bob", "bob2", "issuer", "otherbank", "bank", "fma")
    scene.names |= {"regulator:kyc:1": "carol:kyc:1", "9f86...": "9f" * 32, "bob2key": "bob2"}
    scene.names |= {f"{word} regulator": f"{word} carol" for word in ("--from", "--issuer", "bob")}  # it is a token's role as well
    scene.names |= {"HOME": str(scene.stage.testnet / "node0"), "qx1fma...": scene.address("fma")}
    issue_euro(scene, "bob", "issuer")
    scene.tx("amm create --from issuer --a EUR --b QNX --amount-a 1000 --amount-b 4000 --member bob")
    scene.key("bank-attest")


def require_travel_data(scene: Scene) -> None:
    """The payee is a bank; its jurisdiction and the payer's may have the asset, and no limit of the page is in the way."""
    scene.names |= {"--payee carol": "--payee bank", "--to carol": "--to bank"}
    certify(scene, "bank")
    scene.key("bob-attest")
    scene.tx("comp register-vasp --institution bob --lei 7LTWFZYICNSX8D621K86 --key bob-attest --from carol")
    scene.tx("comp clear-limits --scope holding --account bob --asset EUR --from issuer")


def certify(scene: Scene, name: str = "bob") -> None:
    """Somebody has the authority's credential (again)."""
    terms = f"--type kyc --tier 1 --jurisdiction CH --expires 2027-12-31T00:00:00Z --evidence-hash {'9f' * 32}"
    scene.tx(f"kyc issue --subject {name} {terms} --from carol")
    scene.tx(f"kyc accept --issuer carol --type kyc --from {name}")


# settlement.md


def begin_promises(scene: Scene) -> None:
    """Two who exchange, and the venue between them."""
    scene.people("issuer", "alice", "bob", "venue")
    issue_euro(scene, "alice")
    scene.tx("mint --asset EUR --amount 60000 --to bob --from issuer")
    scene.tx("create-asset BOND --scale 0 --mint-allowance 10000 --from issuer")
    scene.tx("mint --asset BOND --amount 1000 --to alice --from issuer")


def void_hold(scene: Scene) -> None:
    """Another hold."""
    scene.run("qenex tx hold create --from alice --to bob --asset EUR --amount 5 --expires 1h --wait")


def finish_escrow(scene: Scene) -> None:
    """The secret is what the command before has printed."""
    scene.names["HEX"] = scene.stage.names["SECRET"]


def agree(scene: Scene) -> None:
    """The terms are what the command before has printed."""
    scene.names["HEX"] = scene.stage.names["TERMS"]


def cancel_escrow(scene: Scene) -> None:
    """Another escrow."""
    scene.names["--from alice ESCROW"] = "--from bob ESCROW"
    scene.run("qenex tx escrow create --from alice --to bob --asset EUR --amount 5 --after 30m --until 1h --wait")


def cancel_offer(scene: Scene) -> None:
    """Another offer."""
    scene.run("qenex tx pay offer --from alice --to bob --give EUR:5 --want QNX:7 --expires 1d --wait")


def wait_as_claim(scene: Scene) -> None:
    """What came back to alice while she was frozen waits for her."""
    scene.run("qenex tx escrow create --from alice --to bob --asset EUR --amount 5 --after 30m --until 1h --wait")
    scene.tx("comp freeze --account alice --level deep --reason inquiry --legal-ref 7 --from carol")
    scene.tx("escrow cancel --from bob ESCROW")
    scene.tx("comp unfreeze --account alice --reason closed --legal-ref 7 --from carol")


# treasury.md


def begin_treasury(scene: Scene) -> None:
    """A central bank and its banks."""
    scene.people("ecb", "bank1", "bank2")
    scene.tx(f"create-asset EUR {EURO} --with remunerated --from ecb")
    scene.tx("create-asset BND --scale 0 --mint-allowance 10000000 --from bank2")
    scene.tx("mint --asset BND --amount 2000000 --from bank2")


def appoint_second(scene: Scene) -> None:
    """The other dealer."""
    scene.tx("cb appoint-dealer --from ecb --asset EUR --account bank2")


def reappoint(scene: Scene) -> None:
    """Who was dismissed is a dealer again."""
    scene.tx("cb appoint-dealer --from ecb --asset EUR --account bank1 --tier 1")


def cancel_redemption(scene: Scene) -> None:
    """Another request, which is number 1."""
    scene.tx("cb redeem-request --from bank1 --asset EUR --amount 10 --ref R2")
    scene.names["--request 0"] = "--request 1"


def draw_credit(scene: Scene) -> None:
    """The account pays more than it has, but for 5000 that were set aside and are free again; so it owes something and has something."""
    held = int(scene.ask("qenex query account bank2")["holdings"][f"EUR{scene.plan.letter}"])
    scene.run("qenex tx hold create --from bank2 --to bank1 --asset EUR --amount 5000 --expires 1h --wait")
    scene.tx(f"transfer --from bank2 --to bank1 --asset EUR --amount {held + 500_000} --base-units")
    scene.tx("hold void --from bank1 HOLD")


def end_credit(scene: Scene) -> None:
    """What comes in repays the rest."""
    scene.tx("transfer --from bank1 --to bank2 --asset EUR --amount 50000")


SCENES: Final[dict[str, Steps]] = {
    "docs/accounts.md": {
        "": begin_accounts,
        "qenex tx account update-keys": change_keys,
        "qenex tx account confirm-keys": confirm_keys,
        "qenex tx account recover": recover_keys,
        "qenex tx account set-policy --from owner --signer": use_two_persons,
        "qenex keys new bot": grant,
        "qenex tx account revoke-session": end_session,
        "qenex tx account close": close_account,
    },
    "docs/assets.md": {
        "": begin_assets,
        "qenex tx burn": burn_asset,
        "qenex tx asset set-role": use_roles,
        "qenex tx asset pause": act_upon_holders,
        "qenex tx asset forced-transfer": hold_again,
        "qenex tx asset recall --asset EUR --holder alice --place hold": recall_hold,
        "qenex tx asset recall --asset EUR --holder alice --place escrow": recall_escrow,
        "qenex tx asset destroy": destroy_asset,
    },
    "docs/amm.md": {
        "": begin_pools,
        "qenex tx amm create      --from issuer": restrict_pool,
        "qenex tx amm set-domain": give_pool_to_domain,
    },
    "docs/compliance.md": {
        "": begin_compliance,
        "qenex tx comp unfreeze   --account bob --reason": release_account,
        "qenex tx comp freeze    --account bob --asset": end_release,
    },
    "docs/farming.md": {
        "": begin_farms,
        "qenex tx farm claim": claim_rewards,
        "qenex tx farm claim          --from bob --farm 0 --position": claim_one,
        "qenex tx farm emergency-exit": exit_farm,
        "qenex query farm-position bob": look_at_farm,
    },
    "docs/kyc.md": {"": begin_kyc, "qenex tx domain set": certify, "qenex tx comp register-vasp": require_travel_data},
    "docs/settlement.md": {
        "": begin_promises,
        "qenex tx hold void": void_hold,
        "qenex tx escrow finish": finish_escrow,
        "qenex tx escrow cancel": cancel_escrow,
        "qenex tx settle allocate": agree,
        "qenex tx pay accept": agree,
        "qenex tx pay cancel": cancel_offer,
        "qenex query claims": wait_as_claim,
    },
    "docs/treasury.md": {
        "": begin_treasury,
        "qenex tx cb inject": appoint_second,
        "qenex tx cb redeem-request": reappoint,
        "qenex tx cb redeem-cancel": cancel_redemption,
        "qenex tx cb repay": draw_credit,
        "qenex tx cb close-overdraft": end_credit,
    },
}
