"""Scenarios as text: what one node is told, and exactly what it asks for. One file each in `transcripts/`, named after its rows.

Commands: `validators POWER...`, `node vN|observer`, `start [abstain]`, `propose rR BLOCK [pol=R] [by=vN] [late=MS]`, `block BLOCK`,
`valid BLOCK`, `invalid BLOCK`, `prevote|precommit vN,vM rR BLOCK|nil`, `timeout rR STEP`, `value rR BLOCK`,
`certificate rR BLOCK vN,vM`. Under a command stand its outputs, indented: our signer answers at once (`signed` lines are what that
led to), and `=` is the new state when it changed. Run this file to write the expected outputs anew, then read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus import messages as m
from consensus.block_id import BlockID
from consensus.vote import Proposal, Vote
from state.primitives.errors import RemoteError
from tests.consensus.world import MS, PRECOMMIT, PREVOTE, Scene, make_commit

FOLDER = Path(__file__).parent / "transcripts"
STEPS = {step.name.lower(): step for step in m.Step}
TYPES = {"prevote": PREVOTE, "precommit": PRECOMMIT}


class Teller:
    """Runs the commands of one transcript."""

    def __init__(self) -> None:
        self.powers: tuple[int, ...] = (1, 1, 1, 1)
        self.own: int | None = 1
        self._scene: Scene | None = None
        self._state = ""

    @property
    def scene(self) -> Scene:
        if self._scene is None:
            self._scene = Scene(self.powers, self.own, signs=False)
        return self._scene

    def run(self, command: str) -> list[str]:
        """The lines under a command."""
        verb, *words = command.split()
        options = dict(word.split("=") for word in words if "=" in word)
        words = [word for word in words if "=" not in word]
        if verb == "validators":
            self.powers = tuple(map(int, words))
            return []
        if verb == "node":
            self.own = None if words[0] == "observer" else int(words[0][1:])
            return []
        lines: list[str] = []
        for item in self._inputs(verb, words, options):
            lines += self._step(item)
        state = self._describe_state()
        if state != self._state:
            self._state = state
            lines.append(f"= {state}")
        return lines

    def _inputs(self, verb: str, words: list[str], options: dict[str, str]) -> list[m.Input]:
        scene = self.scene
        if verb == "start":
            return [scene.start_input(abstain="abstain" in words)]
        if verb == "block":
            return [m.BlockReceived(scene.block(words[0]))]
        if verb in ("valid", "invalid"):
            return [m.BlockValidity(scene.block_id(words[0]), verb == "valid")]
        if verb in TYPES:
            round_, value = int(words[1][1:]), None if words[2] == "nil" else words[2]
            return [m.VoteReceived(scene.vote(int(who[1:]), TYPES[verb], round_, value)) for who in words[0].split(",")]
        round_ = int(words[0][1:])
        if verb == "timeout":
            return [m.TimeoutFired(scene.height, round_, STEPS[words[1]])]
        block = scene.block(words[1])
        if verb == "value":
            return [m.ValueReady(scene.height, round_, block)]
        if verb == "certificate":
            voters = [int(who[1:]) for who in words[2].split(",")]
            made = make_commit(scene.validators, scene.height, round_, block.block_id(), voters, (), block.header.time_ns)
            return [m.CertificateReceived(block, *made)]
        if verb == "propose":
            who = options.get("by")
            pol_round = int(options.get("pol", "-1"))
            proposal = scene.proposal(round_, words[1], pol_round, None if who is None else int(who[1:]))
            return [m.ProposalReceived(proposal, block.header.time_ns + int(options.get("late", "10")) * MS)]
        raise AssertionError(f"no such command: {verb}")

    def _step(self, item: m.Input) -> list[str]:
        try:
            outputs = self.scene.step(item)
        except RemoteError as error:
            return [f"refused: {error.message}"]
        lines = []
        for output in outputs:
            lines.append(self._describe(output))
        for output in outputs:
            if isinstance(output, m.SignVote | m.SignProposal):
                lines += [f"signed: {line}" for line in self._step(m.Signed(self.scene.sign(output)))]
        return [line for line in lines if not line.endswith("log")]

    def _name(self, value: BlockID | None) -> str:
        return "nil" if value is None else self.scene.names.get(value, "?")

    def _describe(self, output: m.Output) -> str:
        match output:
            case m.Persist():
                return "log"
            case m.SignVote(vote):
                return f"sign {self._message(vote)}"
            case m.SignProposal(proposal):
                return f"sign {self._message(proposal)}"
            case m.Broadcast(message):
                return f"broadcast {self._message(message)}"
            case m.ScheduleTimeout(_, round_, step, delay_ns):
                return f"timeout r{round_} {step.name.lower()} in {delay_ns // MS} ms"
            case m.BuildValue(_, round_):
                return f"build r{round_}"
            case m.WantBlock(_, value):
                return f"want {self._name(value)}"
            case m.ValidateBlock(block):
                return f"validate {self._name(block.block_id())}"
            case m.Decide(_, round_, block, commit):
                signers = [f"v{i}" for i, part in enumerate(commit.signatures) if part.signature]
                return f"decide {self._name(block.block_id())} in r{round_}, signed by {' '.join(signers)}"
            case m.ReportEvidence(first, second, address):
                return f"evidence v{self.scene.validators.index_of(address)}: {self._message(first)} and {self._message(second)}"
        raise AssertionError(output)

    def _message(self, message: Vote | Proposal) -> str:
        if isinstance(message, Proposal):
            pol = "" if message.pol_round < 0 else f" pol={message.pol_round}"
            return f"proposal r{message.round} {self._name(message.block_id)}{pol}"
        return f"{message.type.name.lower()} r{message.round} {self._name(message.block_id)}"

    def _describe_state(self) -> str:
        core = self.scene.core
        text = f"r{core.state.round} {core.state.step.name.lower()}"
        lock = core.state.lock
        if lock.locked_round >= 0:
            text += f", locked {self._name(lock.locked_value)} in r{lock.locked_round}"
        if lock.valid_round >= 0:
            text += f", valid {self._name(lock.valid_value)} in r{lock.valid_round}"
        return text


def retell(text: str) -> str:
    """The transcript with the outputs of this core."""
    teller, lines = Teller(), []
    for line in text.splitlines():
        if line.startswith("    "):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            lines += [f"    {answer}" for answer in teller.run(line)]
    return "\n".join(lines) + "\n"


TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 15


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert retell(text) == text


if __name__ == "__main__":
    for transcript in TRANSCRIPTS:
        transcript.write_text(retell(transcript.read_text(encoding="utf-8")), encoding="utf-8")
