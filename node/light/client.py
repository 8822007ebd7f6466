"""The light client: from a block one trusts to any other, by signatures alone, and never on the word of a single node.

`verify_to` follows CometBFT's light client: skip as far as a trusted share of the old validators allows, else bisect; below the first
trusted block follow the hashes backwards. What the primary proves is compared with every witness; if a witness proves something else for
the same height, nothing more is believed and evidence goes to both sides. A witness that is silent stays one, for to be without witnesses
is to believe the primary alone. The ML-DSA keys of validators are not part of a header's hash, so they are proven from the state before a
post-quantum signature counts. Asking is `node.light.provider`'s, keeping `node.light.trusted`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from consensus.block import Header
from consensus.commit import Verifier
from consensus.light import LightBlock, Trust, verify_light_block, verify_next
from node.clock import NS_PER_S, Clock
from node.light.provider import Provider
from node.light.trusted import TrustedStore
from state.primitives.errors import (
    ClientError,
    ConfigError,
    DivergenceError,
    InsufficientTrustError,
    InvalidCommitError,
    InvalidEvidenceError,
    ProofError,
    QenexError,
)
from state.primitives.hashing import sha256
from state.proofs import verify_proof
from state.schema_staking import address_owner_key, pq_owner_key
from state.validators import Validator

BACKWARDS_MAX: Final = 10_000  # headers followed by their hashes below the first trusted one
WITNESS_FAILURES_MAX: Final = 3  # in a row; a witness a block behind the primary fails once or twice
# then it rests, twice as long each time, because one that takes every question and answers none would make each verification as slow
WITNESS_REST_S: Final = 30
WITNESS_REST_S_MAX: Final = 600

Warn = Callable[[str, QenexError], None]
# (the conflicting block, the last common block, our block) -> bytes of evidence for the other side
MakeEvidence = Callable[[LightBlock, LightBlock, LightBlock], bytes]


@dataclass(frozen=True, slots=True)
class TrustedStart:
    """What the user knows from elsewhere: the hash of the header of a height."""

    height: int
    hash: bytes


class LightClient:
    """`start` it once, then `verify_to` any height.

    `needs_agreement`: of a header that is new one witness at least must have the same, so without any witness none is believed.
    """

    def __init__(
        self,
        primary: Provider,
        witnesses: Sequence[Provider],
        store: TrustedStore,
        trust: Trust,
        verifier: Verifier,
        clock: Clock,
        warn: Warn,
        make_evidence: MakeEvidence,
        *,
        needs_agreement: bool = True,
    ) -> None:
        self._needs_agreement = needs_agreement
        self.chain_id = ""  # that of the first trusted header
        self.primary = primary
        self.witnesses = list(witnesses)
        self.store = store
        self.verified_blocks = 0
        self.verified_signatures = 0
        self._trust = trust
        self._verifier = verifier
        self._clock = clock
        self._warn = warn
        self._make_evidence = make_evidence
        self._failures: dict[str, int] = {}  # of each witness, in a row
        self._rests_until_ns: dict[str, int] = {}  # by the monotonic clock
        self._agreed = (0, 0)  # (height, witnesses that had the same) of the last comparison
        self._proven: dict[bytes, tuple[bytes, int, bytes]] = {}  # address -> keys proven from the state

    async def start(self, start: TrustedStart | None) -> LightBlock:
        """Begin from what the user trusts, or from what was verified before.

        Raises `InvalidCommitError` if the primary has another block there, `ConfigError` if there is nothing to begin from.
        """
        if start is None:
            latest = self.store.latest()
            if latest is None:
                raise ConfigError("nothing is trusted yet", hint="give --trust-height and --trust-hash, from an operator you trust")
            self.chain_id = latest.header.chain_id
            return latest
        known = self.store.get(start.height)
        block = known or await self.primary.light_block(start.height)
        if block.header.hash() != start.hash:
            raise InvalidCommitError(
                f"block {start.height} of {self.primary.url} is {block.header.hash().hex()}, not the trusted {start.hash.hex()}",
                hint="one of the two is wrong: compare with other operators before trusting either",
            )
        self.chain_id = block.header.chain_id
        self.store.bind(self.chain_id)
        if known is None:
            self._check(block)
            await self._prove_keys(block)
            await self._compare([block])
            self.store.put(block)
        return block

    async def verify_to(self, height: int = 0) -> LightBlock:
        """The verified block of a height, 0 for the latest. Raises `InvalidCommitError`, `DivergenceError`, `ClientError`."""
        if height == 0:
            height = await self.primary.latest_height()
        known = self.store.get(height)
        if known is not None:
            return known
        base = self.store.below(height)
        if base is None:
            return await self._verify_backwards(height)
        trace = await self._bisect(self.primary, base, height)
        for block in trace[1:]:
            await self._prove_keys(block)
        await self._compare(trace)
        self.store.put(trace[-1])  # what was skipped over no witness was asked about, so it is not known
        return trace[-1]

    def agreed_on(self, height: int) -> int:
        """How many witnesses had the same header, if this height was the last one that they were asked about; else 0."""
        return self._agreed[1] if self._agreed[0] == height else 0

    def _check(self, block: LightBlock) -> None:
        if self._trust.needs_pq and block.pq_commit is None:
            raise InvalidCommitError("the light block comes without its post-quantum signatures")
        verify_light_block(block, self.chain_id, self._verifier)
        self._count(block)

    def _count(self, block: LightBlock) -> None:
        self.verified_blocks += 1
        self.verified_signatures += sum(1 for part in block.commit.signatures if part.signature)

    async def _bisect(self, provider: Provider, base: LightBlock, height: int) -> list[LightBlock]:
        """Verified blocks from `base` to `height`, both included."""
        trace, pending = [base], [await provider.light_block(height)]
        while pending:
            trusted, new = trace[-1], pending[-1]
            try:
                verify_next(trusted, new, self.chain_id, self._trust, self._clock.now_ns(), self._verifier)
            except InsufficientTrustError:
                middle = (trusted.header.height + new.header.height) // 2
                pending.append(await provider.light_block(middle))
                continue
            self._count(new)
            trace.append(pending.pop())
        return trace

    async def _verify_backwards(self, height: int) -> LightBlock:
        above = self.store.above(height)
        if above is None or height < 1:
            raise ClientError("nothing is trusted yet" if above is None else "heights begin at 1")
        if above.header.height - height > BACKWARDS_MAX:
            raise ClientError(
                f"block {height} is more than {BACKWARDS_MAX} below the first trusted one", hint="trust a lower height to begin with"
            )
        block = above
        for lower in range(above.header.height - 1, height - 1, -1):
            found = await self.primary.light_block(lower)
            if found.header.hash() != block.header.last_block_id.hash:
                raise InvalidCommitError(f"block {lower} of {self.primary.url} is not the one that block {lower + 1} follows")
            block = found
        self._check(block)
        await self._prove_keys(block)
        self.store.put(block)
        return block

    # post-quantum keys

    async def _prove_keys(self, block: LightBlock) -> None:
        """Check the ML-DSA keys that `block`'s signatures were verified with. Raises `InvalidCommitError`."""
        if block.pq_commit is None:
            return
        unknown = [v for v in block.validators.validators if self._proven.get(v.address) != _keys(v)]
        if not unknown:
            return
        header, height = await self._place_of_proof(block)
        for validator in unknown:
            classic = await self._prove(address_owner_key(validator.address), header, height)
            post_quantum = await self._prove(pq_owner_key(sha256(validator.pq_key)), header, height)
            if classic is None or classic != post_quantum:
                raise InvalidCommitError(f"{self.primary.url} gives validator {validator.address.hex()} a post-quantum key of its own")
            self._proven[validator.address] = _keys(validator)

    async def _place_of_proof(self, block: LightBlock) -> tuple[Header, int]:
        """(header whose app hash proves a state, height of the state), for a state that knows the block's validators."""
        height = block.header.height
        if height > 1:
            return block.header, height - 1
        # the state before the first block has no height to ask for; the one after it is proven by the second
        second = await self.primary.light_block(height + 1)
        verify_next(block, second, self.chain_id, self._trust, self._clock.now_ns(), self._verifier)
        return second.header, height

    async def _prove(self, key: bytes, header: Header, height: int) -> bytes | None:
        """The value of a key in a state that a header proves; None if it is absent. Raises `InvalidCommitError`."""
        value, proof, found = await self.primary.state("/store/key", key, height)
        if found != height:
            raise InvalidCommitError(f"{self.primary.url} proves the state of {found} instead of {height}")
        try:
            verify_proof(header.app_hash, key, value, proof)
        except ProofError as error:
            raise InvalidCommitError(
                f"{self.primary.url} does not prove the post-quantum keys at height {height}: {error.message}",
                hint="it may have pruned that height; trust a later one, or give --classic-only to rely on Ed25519 alone",
            ) from error
        return value

    # witnesses

    async def _compare(self, trace: Sequence[LightBlock]) -> None:
        """Ask every witness for the last block of what the primary proved from a trusted one, or for the one to begin with.

        Raises `DivergenceError` if one proves something else, `ClientError` if one must agree and none does.
        """
        height = trace[-1].header.height
        now_ns = self._clock.monotonic_ns()
        resting = [witness for witness in self.witnesses if self._rests_until_ns.get(witness.url, now_ns) > now_ns]
        agreeing = 0
        for witness in [witness for witness in self.witnesses if witness not in resting]:
            agreeing += await self._agrees(witness, trace)
        for witness in resting:  # their rest saves time; where all depends on them there is none to save
            if agreeing or not self._needs_agreement:
                break
            agreeing += await self._agrees(witness, trace)
        self._agreed = (height, agreeing)
        if not agreeing and self._needs_agreement:
            raise self._nobody_agrees(height)

    def _nobody_agrees(self, height: int) -> ClientError:
        if not self.witnesses:
            return ClientError(
                f"no witness is left to confirm block {height}, and the primary alone is not believed",
                hint="each showed what it could not prove: begin again with --witness of other operators",
            )
        return ClientError(
            f"no witness confirms block {height}, and the primary alone is not believed",
            hint="they are asked again the next time: try when they run and have caught up, or give other witnesses",
        )

    async def _agrees(self, witness: Provider, ours: Sequence[LightBlock]) -> bool:
        """Whether a witness has the same header. Raises `DivergenceError` if it proves another."""
        height = ours[-1].header.height
        try:
            other = await witness.light_block(height)
            if other.header.hash() == ours[-1].header.hash():
                self._failures.pop(witness.url, None)
                self._rests_until_ns.pop(witness.url, None)
                return True
            if len(ours) > 1:
                theirs = await self._bisect(witness, ours[0], height)
            else:
                self._check(other)
                theirs = [other]
        except ClientError as error:
            self._failed(witness, error)
            return False
        except InvalidCommitError as error:
            self.witnesses.remove(witness)
            self._warn(witness.url, error)
            return False
        await self._accuse(ours, theirs, witness)
        return False

    def _failed(self, witness: Provider, error: ClientError) -> None:
        """It said nothing that can be judged: it is kept, and rests if that is so again and again."""
        self._warn(witness.url, error)
        failures = self._failures[witness.url] = self._failures.get(witness.url, 0) + 1
        if failures >= WITNESS_FAILURES_MAX:
            rest_s = min(WITNESS_REST_S << min(failures - WITNESS_FAILURES_MAX, 10), WITNESS_REST_S_MAX)
            self._rests_until_ns[witness.url] = self._clock.monotonic_ns() + rest_s * NS_PER_S

    async def _accuse(self, ours: Sequence[LightBlock], theirs: Sequence[LightBlock], witness: Provider) -> None:
        """Both proofs are good, so one is an attack: each side learns of the other's block, and nothing is believed."""
        for provider, own, other in (witness, theirs, ours), (self.primary, ours, theirs):
            try:
                await provider.report(await self._evidence_for(provider, own[-1], other))
            except (ClientError, InvalidEvidenceError) as error:
                self._warn(provider.url, error)
        raise DivergenceError(
            f"{self.primary.url} and {witness.url} prove different blocks for height {ours[-1].header.height}: "
            f"{ours[-1].header.hash().hex()} and {theirs[-1].header.hash().hex()}",
            hint="do not rely on either; evidence went to both. Ask the operators which chain is the network's",
        )

    async def _evidence_for(self, provider: Provider, own: LightBlock, trace: Sequence[LightBlock]) -> bytes:
        """What shows `provider`, who proved `own`, the other side's first block that is not its own: those before have signed it."""
        common = trace[0]
        for block in trace[1:-1]:
            found = await provider.light_block(block.header.height)
            if found.header.hash() != block.header.hash():
                return self._make_evidence(block, common, found)
            common = block
        return self._make_evidence(trace[-1], common, own)


def _keys(validator: Validator) -> tuple[bytes, int, bytes]:
    return validator.ed25519_key, int(validator.pq_kind), validator.pq_key
