"""A stateful search for value that holds, escrows, settlements and offers make, lose or let somebody take.

Any operations of several people, amounts to 2^640, assets of scale 0 to 128, while accounts, holdings and assets are frozen and freed by
hand and time passes in seconds or days. A second set of books, kept by the test from answers alone, says what everybody must have:
balances, what is held, what is in escrow. After every step it is compared, and the whole state is audited. At the end everything is
freed and falls due: nothing may be left but what people have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from state import marks
from state.codes import Code
from state.modules.gate import FLAG_TRANSFERABLE
from state.modules.operation import CLAIMS_ADDRESS, ESCROWS_ADDRESS
from state.primitives.hashing import sha256
from state.primitives.limits import AMOUNT_MAX, PENDING_KEEP_S
from state.schema import account_key, asset_key, holding_key
from state.schema_claims import claim_key, claims_key
from state.schema_pending import Settled
from state.transaction import call
from tests.state.ledger_world import ADDRESS, pay
from tests.state.pending_world import ALL_FLAGS, CODES, HOUR, PEOPLE, PendingWorld, name_of, op, ref

OF = st.sampled_from
NAMES = {address: name for name, address in ADDRESS.items()}
SECRET = b"secret"
BITS = (0, 0, 0, marks.DEBIT_FROZEN, marks.DEEP_FROZEN, marks.SANCTIONED)
AMOUNTS = st.one_of(
    st.integers(0, 5),
    st.integers(1, 10**6),
    st.integers(1, 10**5),
    st.sampled_from([AMOUNT_MAX, AMOUNT_MAX // 8, AMOUNT_MAX // 64]),
    st.integers(0, AMOUNT_MAX),
)
PAIRS = OF([(one, other) for one in PEOPLE for other in PEOPLE if one != other] + [("alice", "alice")])
SIDES = OF([(one, other) for one in CODES for other in CODES if one != other] + [("EUR", "EUR")])
NUMBERS = st.integers(0, 9)
WAITS = OF([0, 59, 600, HOUR, HOUR, HOUR, 90_000, 90_000])
PICKS = st.tuples(st.integers(0, 9), OF(["", "", *PEOPLE]))  # which of the open ones, and who acts; empty: one who may


@dataclass
class Promise:
    """What the test knows of something open: who has what held for it, what is in escrow for it, and when it falls due."""

    kind: str
    name: bytes
    creator: str
    due_s: int
    payments: list[tuple[str, str, str, int]]  # sender, recipient, asset, amount
    held: list[bool]  # of each payment
    agent: str = ""
    hash: bytes = b""


class Promises(RuleBasedStateMachine):
    """`owned` is what everybody has of everything, held and claimed included; `open` are the promises by kind, creator and number."""

    @initialize(large=st.booleans())
    def start(self, large: bool) -> None:
        self.world = PendingWorld(AMOUNT_MAX // 8 if large else 10**6)
        self.owned = {(name, code): self.world.balance(name, code) for name in PEOPLE for code in CODES}
        self.open: dict[tuple[str, str, int], Promise] = {}

    def act(self, who: str, name: str, **fields: Any) -> int:
        """One operation in a block, and its code; what fell due in the block is given back in the test's books too."""
        receipt = self.world.do(who, op(name, **fields))
        assert receipt.code not in (Code.INVARIANT_VIOLATION, Code.MODULE_PAUSED), receipt
        self.forget_due()
        return receipt.code

    def forget_due(self) -> None:
        """A promise whose date has passed is worth nothing; when it is swept is seen from the state, within two minutes."""
        for key, promise in list(self.open.items()):
            if isinstance(self.world.record(*key), Settled) and self.world.record(*key).code == Code.PENDING_EXPIRED:
                assert self.world.now - 1 >= promise.due_s
                del self.open[key]
            elif self.world.now - 1 >= promise.due_s + 120:
                raise AssertionError(f"{promise} is still open")

    def pay_all(self, payments: list[tuple[str, str, str, int]]) -> None:
        for sender, to, code, amount in payments:
            self.owned[sender, code] -= amount
            self.owned[to, code] += amount

    @rule(pair=PAIRS, code=OF(CODES), amount=AMOUNTS, number=NUMBERS, wait=WAITS, agent=OF(["", *PEOPLE]))
    def hold(self, pair: tuple[str, str], code: str, amount: int, number: int, wait: int, agent: str) -> None:
        who, to = pair
        due_s = self.world.now + wait
        fields = {"asset": code, "amount": amount, "beneficiary": ADDRESS[to], "agent": ADDRESS.get(agent, b"")}
        if self.act(who, "hold.create", ref=ref(number), expires=due_s, **fields) == Code.OK:
            name = name_of("hold", who, number)
            self.note("hold", who, number, Promise("hold", name, who, due_s, [(who, to, code, amount)], [True], agent))

    def has(self, kind: str) -> bool:
        """Whether one of a kind is open; mistaken names have tests of their own."""
        return any(key[0] == kind for key in self.open)

    def pick(self, kind: str, pick: tuple[int, str], *right: int) -> tuple[tuple[str, str, int], str]:
        """One of the open promises of a kind (or any name at all), and who acts on it.

        Nobody named: the sender of payment i for each i of `right`, its recipient for -i - 1; the agent if there is one.
        """
        keys = [key for key in self.open if key[0] == kind]
        if not keys or pick[0] == 9:
            return (kind, "alice", pick[0]), pick[1] or "bob"
        key = keys[pick[0] % len(keys)]
        promise = self.open[key]
        if pick[1]:
            return key, pick[1]
        chosen = right[pick[0] % len(right)]
        payment = promise.payments[(chosen if chosen >= 0 else -chosen - 1) % len(promise.payments)]
        return key, promise.agent or payment[0 if chosen >= 0 else 1]

    def note(self, kind: str, who: str, number: int, promise: Promise) -> None:
        assert (kind, who, number) not in self.open
        self.open[kind, who, number] = promise

    @precondition(lambda self: self.has("hold"))
    @rule(pick=PICKS, part=st.integers(0, 8))
    def post(self, pick: tuple[int, str], part: int) -> None:
        key, by = self.pick("hold", pick, 0, -1)
        _, who, number = key
        promise = self.open.get(key)
        amount = promise.payments[0][3] * part // 7 if promise else part
        now = self.world.now
        code = self.act(by, "hold.post", hold=name_of("hold", who, number), amount=amount)
        if promise is None:
            assert code != Code.OK
        elif code == Code.OK:
            sender, to, asset, whole = promise.payments[0]
            assert now < promise.due_s
            assert 0 < amount <= whole
            assert by in (sender, to, promise.agent)
            del self.open["hold", who, number]
            self.pay_all([(sender, to, asset, amount)])

    @precondition(lambda self: self.has("hold"))
    @rule(pick=PICKS)
    def void(self, pick: tuple[int, str]) -> None:
        key, by = self.pick("hold", pick, -1)
        _, who, number = key
        promise = self.open.get(key)
        now = self.world.now
        if self.act(by, "hold.void", hold=name_of("hold", who, number)) == Code.OK:
            assert promise is not None
            sender, to, _, _ = promise.payments[0]
            assert by in (to, promise.agent) or (by == sender and now >= promise.due_s)
            self.open.pop(("hold", who, number), None)

    @rule(pair=PAIRS, code=OF(CODES), amount=AMOUNTS, number=NUMBERS, wait=WAITS, is_hashed=st.booleans())
    def escrow(self, pair: tuple[str, str], code: str, amount: int, number: int, wait: int, is_hashed: bool) -> None:
        who, to = pair
        due_s = self.world.now + wait
        fields = {"asset": code, "amount": amount, "to": ADDRESS[to], "hash": sha256(SECRET) if is_hashed else b""}
        if self.act(who, "escrow.create", ref=ref(number), finish_after=due_s - 60, cancel_after=due_s, **fields) == Code.OK:
            made = Promise("escrow", name_of("escrow", who, number), who, due_s, [(who, to, code, amount)], [False])
            made.hash = bytes(fields["hash"])
            self.note("escrow", who, number, made)

    @precondition(lambda self: self.has("escrow"))
    @rule(pick=PICKS, secret=OF([b"", SECRET, b"guess"]))
    def finish(self, pick: tuple[int, str], secret: bytes) -> None:
        key, by = self.pick("escrow", pick, 0, -1)
        _, who, number = key
        promise = self.open.get(key)
        now = self.world.now
        if self.act(by, "escrow.finish", escrow=name_of("escrow", who, number), secret=secret) == Code.OK:
            assert promise is not None
            assert promise.due_s - 60 <= now < promise.due_s
            assert secret == (SECRET if promise.hash else b"")
            del self.open["escrow", who, number]
            self.pay_all(promise.payments)

    @precondition(lambda self: self.has("escrow"))
    @rule(pick=PICKS)
    def give_back(self, pick: tuple[int, str]) -> None:
        key, by = self.pick("escrow", pick, 0, -1)
        _, who, number = key
        promise = self.open.get(key)
        now = self.world.now
        if self.act(by, "escrow.cancel", escrow=name_of("escrow", who, number)) == Code.OK:
            assert promise is not None
            assert by == promise.payments[0][1] or now >= promise.due_s
            self.open.pop(("escrow", who, number), None)

    @rule(
        who=OF(PEOPLE),
        legs=st.lists(st.tuples(PAIRS, OF(CODES), AMOUNTS), min_size=1, max_size=4),
        number=NUMBERS,
        wait=WAITS,
        agent=OF(["", *PEOPLE]),
    )
    def settlement(self, who: str, legs: list[tuple[tuple[str, str], str, int]], number: int, wait: int, agent: str) -> None:
        payments = [(*pair, code, amount) for pair, code, amount in legs]
        due_s = self.world.now + wait
        wire = tuple((ADDRESS[sender], ADDRESS[to], code, amount) for sender, to, code, amount in payments)
        fields = {"legs": wire, "agent": ADDRESS.get(agent, b""), "deadline": due_s}
        if self.act(who, "settle.create", ref=ref(number), **fields) == Code.OK:
            name = name_of("settlement", who, number)
            self.note("settlement", who, number, Promise("settlement", name, who, due_s, payments, [False] * len(legs), agent))

    @precondition(lambda self: self.has("settlement"))
    @rule(pick=PICKS, is_wrong=OF([False, False, True]))
    def allocate(self, pick: tuple[int, str], is_wrong: bool) -> None:
        key, by = self.pick("settlement", pick, 0, 1, 2, 3)
        if key in self.open and not pick[1]:
            payments = self.open[key].payments
            by = next((p[0] for p, held in zip(payments, self.open[key].held, strict=True) if not held), by)
        self.allocate_by(by, key, is_wrong=is_wrong)

    def allocate_by(self, by: str, key: tuple[str, str, int], *, is_wrong: bool) -> None:
        _, who, number = key
        promise = self.open.get(key)
        now = self.world.now
        terms = b"\1" * 32 if is_wrong or promise is None else self.world.terms("settlement", who, number)
        if self.act(by, "settle.allocate", settlement=name_of("settlement", who, number), terms=terms) == Code.OK:
            assert promise is not None
            assert not is_wrong
            assert now < promise.due_s
            assert not any(held for held, payment in zip(promise.held, promise.payments, strict=True) if payment[0] == by)
            promise.held = [held or payment[0] == by for held, payment in zip(promise.held, promise.payments, strict=True)]

    @precondition(lambda self: self.has("settlement"))
    @rule(pick=PICKS)
    def execute(self, pick: tuple[int, str]) -> None:
        key, by = self.pick("settlement", pick, 0, -1)
        self.execute_by(by, key)

    def execute_by(self, by: str, key: tuple[str, str, int]) -> None:
        _, who, number = key
        promise = self.open.get(key)
        now = self.world.now
        if self.act(by, "settle.execute", settlement=name_of("settlement", who, number)) == Code.OK:
            assert promise is not None
            assert all(promise.held)
            assert now < promise.due_s
            assert by == promise.agent or not promise.agent
            del self.open["settlement", who, number]
            self.pay_all(promise.payments)

    @precondition(lambda self: self.has("settlement"))
    @rule(pick=PICKS)
    def refuse(self, pick: tuple[int, str]) -> None:
        key, by = self.pick("settlement", pick, 0, 1, 2)
        _, who, number = key
        promise = self.open.get(key)
        now = self.world.now
        if self.act(by, "settle.cancel", settlement=name_of("settlement", who, number)) == Code.OK:
            assert promise is not None
            is_bound = any(held for held, payment in zip(promise.held, promise.payments, strict=True) if payment[0] == by)
            assert not is_bound or by == promise.agent or now >= promise.due_s
            self.open.pop(("settlement", who, number), None)

    @rule(pair=PAIRS, side=SIDES, number=NUMBERS, wait=WAITS, amounts=st.tuples(AMOUNTS, AMOUNTS))
    def offer(self, pair: tuple[str, str], side: tuple[str, str], number: int, wait: int, amounts: tuple[int, int]) -> None:
        (who, to), (give, want) = pair, side
        due_s = self.world.now + wait
        sides = {"give_asset": give if amounts[0] else "", "give_amount": amounts[0]}
        sides |= {"want_asset": want if amounts[1] else "", "want_amount": amounts[1]}
        if self.act(who, "pay.offer", ref=ref(number), to=ADDRESS[to], expires=due_s, **sides) == Code.OK:
            both = [(who, to, give, amounts[0]), (to, who, want, amounts[1])]
            name = name_of("offer", who, number)
            self.note("offer", who, number, Promise("offer", name, who, due_s, both, [True, False]))

    @precondition(lambda self: self.has("offer"))
    @rule(pick=PICKS, is_wrong=OF([False, False, True]))
    def accept(self, pick: tuple[int, str], is_wrong: bool) -> None:
        key, by = self.pick("offer", pick, -1)
        _, who, number = key
        promise = self.open.get(key)
        now = self.world.now
        terms = b"\1" * 32 if is_wrong or promise is None else self.world.terms("offer", who, number)
        if self.act(by, "pay.accept", offer=name_of("offer", who, number), terms=terms) == Code.OK:
            assert promise is not None
            assert not is_wrong
            assert by == promise.payments[0][1]
            assert now < promise.due_s
            del self.open["offer", who, number]
            self.pay_all(promise.payments)

    @precondition(lambda self: self.has("offer"))
    @rule(pick=PICKS)
    def withdraw(self, pick: tuple[int, str]) -> None:
        key, by = self.pick("offer", pick, 0, -1)
        _, who, number = key
        promise = self.open.get(key)
        if self.act(by, "pay.cancel", offer=name_of("offer", who, number)) == Code.OK:
            assert promise is not None
            assert by in promise.payments[0][:2]
            self.open.pop(("offer", who, number), None)

    @rule(pair=PAIRS, code=OF(CODES), amount=AMOUNTS)
    def pay(self, pair: tuple[str, str], code: str, amount: int) -> None:
        who, to = pair
        receipt = self.world.do(who, pay(to, amount, code))
        self.forget_due()
        if receipt.code == Code.OK:
            self.pay_all([(who, to, code, amount)])

    @rule(who=OF(PEOPLE), number=st.integers(0, 5))
    def take_claim(self, who: str, number: int) -> None:
        self.world.do(who, call("claim.take", claim=number))
        self.forget_due()

    @rule(who=OF(PEOPLE), bits=OF(BITS))
    def freeze_account(self, who: str, bits: int) -> None:
        self.world.edit(account_key(ADDRESS[who]), marks=bits)

    @rule(who=OF(PEOPLE), code=OF(CODES), bits=OF([0, 0, marks.HOLDING_FROZEN, marks.HOLDING_DEEP_FROZEN]))
    def freeze_holding(self, who: str, code: str, bits: int) -> None:
        self.world.edit(holding_key(ADDRESS[who], code), marks=bits)

    @rule(code=OF(CODES), is_paused=OF([False, False, True]), flags=OF([ALL_FLAGS, ALL_FLAGS, ALL_FLAGS & ~FLAG_TRANSFERABLE]))
    def change_asset(self, code: str, is_paused: bool, flags: int) -> None:
        self.world.edit(asset_key(code), marks=marks.PAUSED if is_paused else 0, flags=flags)

    @precondition(lambda self: self.has("escrow"))
    @rule(after_s=OF([-1, 0, 30, 59, 60]))
    def an_escrow_opens(self, after_s: int) -> None:
        due_s = min(promise.due_s for key, promise in self.open.items() if key[0] == "escrow")
        if self.world.now < due_s - 60:
            self.world.now = due_s - 60 + after_s
            self.world.apply()
            self.forget_due()

    @precondition(lambda self: self.has("settlement"))
    @rule(pick=PICKS)
    def all_agree(self, pick: tuple[int, str]) -> None:
        key, by = self.pick("settlement", (pick[0] % 9, ""), 0)
        for sender in dict.fromkeys(payment[0] for payment in self.open[key].payments):
            if key in self.open:
                self.allocate_by(sender, key, is_wrong=False)
        if key in self.open:
            self.execute_by(by, key)

    @rule(seconds=OF([1, 30, 60, 600, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.world.wait(seconds)
        self.forget_due()

    @invariant()
    def compare(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.audit()
        held = dict.fromkeys(self.owned, 0)
        kept = dict.fromkeys(CODES, 0)
        left = dict(self.owned)
        for promise in self.open.values():
            for (sender, _, code, amount), is_held in zip(promise.payments, promise.held, strict=True):
                if is_held:
                    held[sender, code] += amount
                elif promise.kind == "escrow":
                    kept[code] += amount
                    left[sender, code] -= amount
        for (name, code), amount in held.items():
            assert self.world.held(name, code) == amount, (name, code)
            assert self.world.balance(name, code) + self.claimed(name, code) == left[name, code], (name, code)
        for code, amount in kept.items():
            assert self.world.balance(ESCROWS_ADDRESS, code) == amount, code

    def claimed(self, name: str, code: str) -> int:
        given, _ = self.world.read(claims_key(ADDRESS[name])) or (0, 0)
        found = (self.world.read(claim_key(ADDRESS[name], number)) for number in range(given))
        return sum(record[1] for record in found if record is not None and record[0] == code)

    def teardown(self) -> None:
        """Everything falls due and is freed; then nothing is left but what people have."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.wait(2 * 90_000)
        self.forget_due()
        assert self.open == {}
        for code in CODES:
            world.edit(asset_key(code), marks=0, flags=ALL_FLAGS)
            for name in PEOPLE:
                world.edit(account_key(ADDRESS[name]), marks=0)
                world.edit(holding_key(ADDRESS[name], code), marks=0)
        for name in PEOPLE:
            given, _ = world.read(claims_key(ADDRESS[name])) or (0, 0)
            for number in range(given):
                assert world.do(name, call("claim.take", claim=number)).code in (Code.OK, Code.PENDING_NOT_FOUND)
        world.wait(PENDING_KEEP_S + 120)
        assert not [key for key in world.db if key[1:2] in b"HESYQ"]
        for (name, code), amount in self.owned.items():
            assert (world.balance(name, code), world.held(name, code)) == (amount, 0), (name, code)
        for code in CODES:
            assert world.balance(CLAIMS_ADDRESS, code) == world.balance(ESCROWS_ADDRESS, code) == 0


TestPromises = Promises.TestCase
TestPromises.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
