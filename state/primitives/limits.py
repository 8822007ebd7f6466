"""Every bound of the ledger and the wire, its unit last in the name, its reason beside it.

Only numbers may go in here. Bounds that an operator may change live in the configuration; these are protocol.
"""

from __future__ import annotations

# Numbers
AMOUNT_BITS_MAX = 640  # 128 decimals plus 64 integer digits fit: 10^192 < 2^640
AMOUNT_MAX = (1 << AMOUNT_BITS_MAX) - 1
AMOUNT_BYTES_MAX = AMOUNT_BITS_MAX // 8
AMOUNT_DIGITS_MAX = 193  # decimal digits of AMOUNT_MAX
ASSET_SCALE_MAX = 128

# Generic decoding: the floor for every decoder that has no tighter bound of its own
DECODE_DEPTH_MAX = 16  # our deepest record nests 6; nesting is the cheapest way to hurt a decoder
DECODE_ITEMS_MAX = 200_000  # items of all arrays of one value; a block of 20,000 transactions is far below
DECODE_BYTES_MAX = 8 * 1024 * 1024  # twice the largest block

# Chain
CHAIN_ID_BYTES_MAX = 50  # CometBFT's bound; light clients refuse longer ones
VALIDATORS_MAX = 200  # the number promised to users
POWER_TOTAL_MAX = (1 << 63) // 8 - 1  # CometBFT's bound on total voting power
BLOCK_PART_BYTES = 65_536  # CometBFT's part size: part-set hashes depend on it
BLOCK_BYTES_MAX = 4 * 1024 * 1024  # default block size; the hard cap of the parameter is below
BLOCK_BYTES_HARD_MAX = 7 * 1024 * 1024  # must fit DECODE_BYTES_MAX with its commit
BLOCK_TXS_MAX = 20_000  # the default; with 200-byte transfers it fills the 4 MiB
BLOCK_TXS_HARD_MAX = 50_000  # with DECODE_ITEMS_MAX four times that, a block always decodes
HEIGHT_MAX = (1 << 63) - 1  # int64 in the encodings
ROUND_MAX = (1 << 31) - 1  # int32 in the encodings
TIME_NS_MAX = 253_402_300_799 * 1_000_000_000  # 9999-12-31T23:59:59Z, RFC 3339's last second

EVIDENCE_PER_BLOCK_MAX = 50  # each carries two hybrid votes, 10 kB; the rest waits for the next block
EVIDENCE_BYTES_HARD_MAX = 2 * 1024 * 1024  # whatever the parameter says: an announcement of 50,000 hashes must fit beside it
EVIDENCE_BYTES_MAX = 1024 * 1000  # one proof of a light client attack with 200 ML-DSA-87 signatures; fits one message
EVIDENCE_PENDING_MAX = 200  # proofs waiting for a block: four full blocks
EVIDENCE_PENDING_BYTES_MAX = 8 * 1024 * 1024  # the same, and the bound of its file
EVIDENCE_PER_ACCUSED_MAX = 16  # of them about one validator, so that one cheat does not hide another

# Consensus
FUTURE_ROUNDS_PER_VALIDATOR_MAX = 4  # rounds ahead of ours in which one validator's votes are kept: the 2 nearest, the 2 highest
NIL_VOTES_ROUNDS_KEPT = 4  # nil votes of rounds further back help nobody; 200 of them with ML-DSA-87 take 1 MB
VOTE_VALUES_PER_VALIDATOR_MAX = 4  # conflicting votes kept of one validator, so that "first vote wins" hides no quorum
PROPOSALS_PER_ROUND_MAX = 2  # the first is voted on, a conflicting second may be decided; more only with a quorum behind it
FUTURE_PROPOSALS_MAX = 16  # proposals of rounds ahead of ours, and of the next height
BLOCKS_PER_HEIGHT_MAX = 16  # candidate blocks kept in one height
NEXT_HEIGHT_VOTES_PER_VALIDATOR_MAX = 8  # votes of the next height that arrive while we commit this one

# Transactions
TX_BYTES_MAX = 256 * 1024  # 32 hybrid signatures are 150 kB; more than that is an attack
TX_OPS_MAX = 64
TX_SIGNERS_MAX = 32
MEMO_BYTES_MAX = 256
METADATA_BYTES_MAX = 1024
LANE_ORDERED_MAX = 63  # lanes 0..63 carry sequences
LANE_UNORDERED = (1 << 32) - 1
UNORDERED_WINDOW_S_MAX = 600  # how far ahead an unordered transaction may expire; bounds the replay memory
VALIDITY_WINDOW_S_MAX = 24 * 3600
VALIDITY_WINDOW_MULTISIG_S_MAX = 30 * 24 * 3600  # several signers need days, not hours
CLIENT_REF_BYTES = 16
CLIENT_REF_KEEP_S = 7 * 24 * 3600

FEE_RULES_MAX = 256  # rows of the governed fee table: more than there are operations
PRECONDITIONS_MAX = 16
TAG_CHARS_MAX = 64  # destination tags and references of issuers
REASON_CHARS_MAX = 128  # why an authority acts, and on what legal ground: a file number, no story
AUTHORITIES_MAX = 16  # accounts that act for the compliance authority
PURPOSE_BYTES_MAX = 4  # ISO 20022 external purpose code
E2E_ID_BYTES_MAX = 36  # a UUID as text, or 16 bytes
TRAVEL_FIELD_BYTES_MAX = 256
CALENDAR_MINUTES_MAX = 4_096  # minutes of the calendar that one call walks past: 5 ms; a chain that stood still catches up
DUE_ENTRIES_MAX = 256  # entries of the calendar that one block settles, besides twice what it added
SWEEP_ENTRIES_MAX = 512  # remembered references and hashes forgotten per queue and block: 1 ms of work

# Compliance
CREDENTIALS_MAX = 32  # that one subject has accepted: all of them may be looked at in one payment
CREDENTIAL_TYPE_CHARS_MAX = 32
CREDENTIAL_TIER_MAX = 255  # one byte
DOMAIN_NAME_CHARS_MAX = 32
DOMAIN_CREDENTIALS_MAX = 16  # looked up at every use of what the domain guards
GROUP_DEPTH_MAX = 8  # from a sub-account up to its head; deeper ones cannot hold what is limited by groups
GROUP_MEMBERS_MAX = 64  # accounts of a group whose balances are added up at every payment to one of them
JURISDICTIONS_MAX = 250  # as many as ISO 3166 has
LIMIT_WINDOW_BUCKETS = 12  # parts of a window: it is counted up to a twelfth longer than it is, and never shorter
LIMIT_WINDOW_S_MAX = 366 * 24 * 3600
RECOVERY_ASSETS_MAX = 1_000  # looked through for one holder: 10 ms; more must be named
RECOVERY_CODES_MAX = 64  # named in one recovery
LEI_CHARS = 20  # ISO 17442

# Accounts
ACCOUNT_ADDRESS_BYTES = 32
ACCOUNT_KEYS_MAX = 32
KEY_WEIGHT_MAX = 65_535
KEY_ID_MAX = (1 << 32) - 1
MINTERS_MAX = 16  # of one asset at its creation
LEGS_MAX = 64  # of one multi-transfer
GRANTS_MAX = 64  # session keys and delegations of one account at once: they are listed in one record of 2 kB
SCOPE_OPS_MAX = 32  # kinds of operation that one grant names
SCOPE_ASSETS_MAX = 16  # assets that one grant limits; each has two amounts of 80 bytes
SCOPE_COUNTERPARTIES_MAX = 64  # that one grant may pay
ALLOWED_COUNTERPARTIES_MAX = 512  # on one account's list: 17 kB
GRANT_WINDOW_S_MIN = 60  # windows of limits: a minute to a year
GRANT_WINDOW_S_MAX = 366 * 24 * 3600
GRANT_S_MAX = 366 * 24 * 3600  # how long a grant may be given for at once
KEY_DELAY_S_MAX = 90 * 24 * 3600  # between a change of keys and its confirmation
RECOVERY_DELAY_S = 72 * 3600  # of accounts whose policy names none: a parent recovering its sub-account
KEY_CHANGE_KEEP_S = 30 * 24 * 3600  # how long a change that may be confirmed waits for it
CLOSE_RECORDS_MAX = 4_096  # assets and pools that closing an account looks through: 10 ms

# Holds, escrows, settlements, offers
PENDING_ID_BYTES = 20
PENDING_REF_BYTES = 16  # a UUID, such as the UETR of a payment
PENDING_S_MAX = 3_660 * 24 * 3600  # ten years until a date: escrows are used for vesting
PENDING_KEEP_S = VALIDITY_WINDOW_S_MAX  # what is settled answers as long as a transaction signed before may still come
SETTLEMENT_LEGS_MAX = 32  # of one settlement: 32 payments in one operation, and in one entry of the calendar
PREIMAGE_BYTES_MAX = 64  # 32 is usual; other ledgers of an atomic swap must take it too

# Staking
PPM = 1_000_000  # fractions are parts per million
VALIDATOR_RECORDS_MAX = 400  # registered, in the set or waiting: twice the set; each is looked at in every block
STAKE_ENTRIES_HARD_MAX = 32  # unbondings at once of one account from one validator; 7 is usual
DOWNTIME_WINDOW_MAX = 100_000  # blocks; 13 kB of bits for a validator that misses votes
DOWNTIME_PART_BLOCKS = 1_024  # bits in one record: a missed vote rewrites 128 B
COMMISSION_CHANGE_S_MIN = 24 * 3600  # between two changes of a commission, so that delegators can leave
SHARES_MAX = (1 << 1_280) - 1  # a pool slashed from 2^640 to 1 unit still takes delegations
MONIKER_CHARS_MAX = 64
DETAILS_CHARS_MAX = 256

# Pools
POOL_RESERVE_MIN = 10_000  # base units of each side after anything but closing: below it one unit of rounding is a percentage
POOL_FEE_PPM_MAX = 100_000  # a tenth: a pool of two assets is the only one, so nobody may make it useless
POOL_MEMBERS_MAX = 256  # of one restricted pool; 9 kB
POOL_PATH_ASSETS_MAX = 5  # four hops: each is four multiplications of 640 bits
POOL_WITHDRAW_OFF_S_MAX = 72 * 3600  # how long withdrawals may be switched off at once; then they are on again by themselves

# Farms
FARM_TIERS_MAX = 16  # lock tiers of one farm
FARM_WEIGHT_PPM_MAX = 100_000_000  # a hundred times: beyond it a small stake takes nearly everything
FARM_LOCK_S_MAX = 5 * 365 * 24 * 3600  # nobody binds himself for longer by mistake
FARM_DURATION_S_MAX = 10 * 365 * 24 * 3600  # from now to the end of a campaign
FARM_REWARDS_MAX = 8  # reward assets of one farm; each change of a stake settles all of them
FARM_CLAIM_POSITIONS_MAX = 16  # in one claim: times the reward assets, 128 multiplications of 1,300 bits
FARM_POSITIONS_MAX = 256  # open at once by one account in all farms; their list is one record of about 1 kB
# Central banks
DEALERS_MAX = 128  # of one asset: all are paid interest in one operation, about 3 ms
DEALER_TIERS_MAX = 16  # each may have a reserve ratio
DEALER_WINDOW_S_MAX = 366 * 24 * 3600  # of a limit on what a dealer is issued
RATE_PPM_MAX = 1_000_000  # 100 % a year: beyond it is a typing mistake
REDEMPTION_S_MAX = 30 * 24 * 3600  # how long a request may wait for its answer
COLLATERAL_ASSETS_MAX = 8  # behind one credit line
CREDIT_LINES_MAX = 256  # of one asset, so that all can be shown at the end of a day; 9 kB

# Governance
PROPOSAL_OPS_MAX = 16  # of one proposal: each is executed in one transaction
PROPOSAL_BYTES_MAX = 32 * 1024  # of its operations; 256 members of a pool are 9 kB
PROPOSALS_OPEN_MAX = 256  # gathering a deposit, being voted on, waiting for execution: 3 kB of list
PROPOSAL_DEPOSITORS_MAX = 32  # each is paid back in one step
PROPOSALS_CLOSED_PER_BLOCK_MAX = 16  # at most 512 refunds
GOV_PERIOD_S_MIN = 5  # of any period: on a local network with ten blocks a second that is fifty blocks
GOV_PERIOD_S_MAX = 60 * 24 * 3600
GOV_PERIOD_BLOCKS_MIN = 10  # intervals between blocks in any period, or nobody could vote or execute in time
GOV_SUPPLY_DIVISOR = 1_000  # a deposit is at most this part of the supply of its asset, or nobody could propose
FEE_SUPPLY_DIVISOR = 1_000_000  # a fee set by governance likewise, or nobody could vote to lower it
FEE_BYTE_DIVISOR = 1_000  # a byte costs at most this part of that
PARAM_KEY_CHARS_MAX = 64
PARAM_VALUE_CHARS_MAX = 256
NODE_ID_BYTES = 20
ADMITTED_NODES_MAX = 2_000  # one record of 44 kB
UPGRADE_NOTICE_BLOCKS_MIN = 10  # between the decision and the height: a node must not hear of it too late
BREAKER_S_MAX = 72 * 3600  # how long two members of the committee may stop a module; governance may for longer
BREAKER_REST_S = 72 * 3600  # after which they may stop the same again
GROUP_MEMBERS_MAX = 64
GROUP_WEIGHT_MAX = 65_535
GROUP_DELAY_S_MAX = 30 * 24 * 3600
GROUP_PROPOSALS_OPEN_MAX = 16  # of one group; the members have an interest in keeping order
GROUP_PROPOSAL_S_MAX = 60 * 24 * 3600  # from a group's proposal to its last moment

# Anchors of audit logs
LOG_NAME_CHARS_MAX = 64
ANCHORED_LOGS_MAX = 64  # logs of one account: their names are one record of at most 4 kB

# State
RECORD_CACHE_RECORDS_MAX = 200_000  # decoded records kept between blocks, about 400 B each
STATE_KEY_BYTES_MAX = 255  # ICS-23 verifiers accept at most this with a one-byte length
STATE_VALUE_BYTES_MAX = 128 * 1024  # 32 hybrid keys are 84 kB

# Storage
UNDO_PAGE_BYTES_MAX = 1 << 31  # our own bytes, checksummed: as large as the largest records of one shard in one block make it
PRUNE_ROWS_MAX = 20_000  # rows deleted in one batch: 10 ms of writing
EXPORT_FRAME_BYTES_MAX = 32 * 1024 * 1024  # the largest block with its commits, twice
EXPORT_ROWS_BYTES = 1024 * 1024  # rows of one frame of an exported state: what is held at once
BULK_ROWS_MAX = 20_000  # rows written at once when a store is filled
MANIFEST_BYTES_MAX = 64 * 1024  # of a snapshot: what is there takes about 1 kB

# Tree worker
TREE_FRAME_BYTES_MAX = 256 * 1024 * 1024  # the changes of the largest block, or the hashes of all buckets (9 MB), many times over
TREE_ASK_BUCKETS_MAX = 4096  # buckets asked for at once: about 3 MB at 3 million leaves
TREE_ANSWER_S_MAX = 120  # the largest cold block takes a few seconds; a worker that is silent for longer is lost

# Consensus log
WAL_ENTRY_BYTES_MAX = 12 * 1024 * 1024  # one entry may hold a whole block and its 200 post-quantum signatures
WAL_ENTRY_ITEMS_MAX = 2 * DECODE_ITEMS_MAX  # an announcement's and the bodies of a block: whatever was rebuilt is read back
WAL_FRAME_BYTES_MAX = 16 * 1024 * 1024  # several entries become durable with one write
SIGNER_COPY_BYTES = 8 * 1024  # one record with an ML-DSA-87 signature (4,627 B) and its sign bytes takes about 5 kB

# Catching up
SYNC_WINDOW_BLOCKS_MAX = 64  # heights asked for or waiting at once: hides 64 round trips, bounds what a liar can make us hold
SYNC_PEER_REQUESTS_MAX = 8  # per peer at once; the serving side refuses more
SYNC_OWED_HEIGHTS_MAX = 64  # of one peer, asked and given up, of which an answer is no offence: eight times what it may be asked at once
SYNC_BUFFER_BYTES_MAX = 32 * 1024 * 1024  # received, not yet applied, and expected; beyond it only the next height: 42 MiB at most

# Genesis
GENESIS_BYTES_MAX = 64 * 1024 * 1024  # 100,000 Ed25519 accounts with one holding each take 60 MB of indented JSON
GENESIS_ACCOUNTS_MAX = 100_000  # more are opened by transactions, or come from a snapshot
GENESIS_HOLDINGS_MAX = 200_000
GENESIS_ASSETS_MAX = 1_000
GENESIS_NODE_IDS_MAX = 1_000  # nodes beside the validators' own

# Block propagation
ASSEMBLIES_MAX = 8  # blocks being rebuilt at once: one is normal, two when a proposer contradicts itself
BLOCKS_SERVED_MAX = 8  # whole blocks kept for peers: this height's proposals and the last decided one
BLOCK_BATCH_BYTES = 256 * 1024  # bodies per message: votes must not wait behind more
CERTIFIED_BLOCK_BYTES_MAX = 10 * 1024 * 1024  # a block of 7 MiB, its commit, and 200 ML-DSA-87 signatures (0.9 MB)
DRIVER_INBOX_MAX = 1024  # inputs waiting for the core; beyond it senders wait, and so do their sockets
GOSSIP_VOTES_MAX = 12  # votes in one message: 58 kB with ML-DSA-87
GOSSIP_REPAIR_MAX = 64  # votes and proposals sent again to one peer at a time
CONSENSUS_MESSAGE_BYTES_MAX = 64 * 1024  # the consensus channel's bound
BLOCK_MESSAGE_BYTES_MAX = 4 * 1024 * 1024  # 50,000 hashes, a commit of 200 and evidence; or one batch of bodies
BLOCKS_HEARD_MAX = 64  # block hashes of which we remember who spoke of them first
PROPAGATION_QUEUE_MAX = 32  # answers waiting for one slow peer: 8 MB, a whole block

SNAPSHOT_MESSAGE_BYTES_MAX = 15 * 1024 * 1024  # one shard of the state: 10,000,000 accounts are about 5 MB each
SNAPSHOT_ROWS_MAX = SNAPSHOT_MESSAGE_BYTES_MAX // 24  # nearly every key holds an address: a shard of rows shorter than this is made up
SNAPSHOT_ITEMS_MAX = 3 * SNAPSHOT_ROWS_MAX + 16  # a row, its key and its value; the fields of the answer
SNAPSHOT_QUESTION_BYTES_MAX = 512  # a key of 255 bytes and three numbers
SNAPSHOT_PEER_QUESTIONS_MAX = 4  # of one peer, waiting; who joins asks one at a time
TIP_BYTES_MAX = 64 * 1024  # priorities of 200 validators and the rest

PEER_SCORES_BYTES_MAX = 512 * 1024  # of 4,096 peers

# RPC
RPC_SEND_S_MAX = 10  # a client that takes longer for one chunk does not read; CometBFT's write deadline
RPC_SEND_CHUNK_BYTES = 64 * 1024  # so that a large answer over a slow line may take its time
RPC_YIELD_AFTER_S = 15  # a client silent for this long gives way when every place is taken
METRICS_CONNECTIONS_MAX = 32  # a few scrapers; they cost descriptors that the RPC's own bound does not count
RPC_READS_AT_ONCE = 8  # clients served between two turns of everybody else: the chain must not wait for a flood
RPC_ANSWER_BYTES_MAX = 64 * 1024 * 1024  # of all answers to one batch
RPC_CLIENTS_KNOWN_MAX = 10_000  # whose budgets are remembered
RPC_BYTES_PER_UNIT = 64 * 1024  # of a request's body
RPC_COMMIT_WAITERS_MAX = 64  # calls of broadcast_tx_commit that wait for their block
RPC_EVENT_BLOCKS_BEHIND_MAX = 100  # a subscriber that is further behind is told so and dropped
RPC_REPLAY_BLOCKS_MAX = 1_000  # told again to one who subscribes after a cursor: a quarter of an hour at a block a second
RPC_EVENT_BLOCKS_KEPT = 2  # rendered once for all subscribers; those further behind read the store
SEARCH_MATCHES_MAX = 10_000  # beyond this a search must be narrowed
SEARCH_ROWS_AT_ONCE = 500  # index rows read between two turns of everybody else: 1 ms
SEARCH_BLOCKS_MAX = 1_000  # blocks whose receipts one search may read
SEARCH_RECEIPTS_MAX = 100_000  # receipts that one search may compare: 1 s, in turns

# Index
INDEX_PAGE_MAX = 100  # rows of one answer
INDEX_SCAN_ROWS_MAX = 50_000  # of an account's history looked through for one page; the cursor goes on from there
INDEX_CANDLES_MAX = 1_000  # of one answer
INDEX_SWAPS_MAX = 200_000  # that one answer of candles reads: about a second
INDEX_POINTS_MAX = 500  # of a supply over time
INDEX_RETRY_S = 5  # after a failure of the index's database, then longer
INDEX_RETRY_S_MAX = 60
