"""The table of methods: name, parameters, handler, cost, role. A new method is one row."""

from __future__ import annotations

from typing import Final

from node.rpc import (
    accounts,
    administration,
    amm,
    audit,
    chain,
    compliance,
    consensus,
    explorer_lists,
    farm,
    gov,
    history,
    kyc,
    monitoring,
    network,
    pending,
    snapshots,
    staking,
    transactions,
    treasury,
)
from node.rpc.method import Method, Shows
from node.rpc.params import Kind, Param
from node.rpc.roles import Role

_HEIGHT: Final = Param("height", Kind.INT, None)
_PAGE: Final = Param("page", Kind.INT, 1)
_PER_PAGE: Final = Param("per_page", Kind.INT, 30)
_PROVE: Final = Param("prove", Kind.BOOL, False)
_ORDER: Final = Param("order_by", Kind.TEXT, "")
_QUERY: Final = Param("query", Kind.TEXT)
_POOL: Final = Param("pool", Kind.TEXT)
_ACCOUNT: Final = Param("account", Kind.TEXT)
_ASSET: Final = Param("asset", Kind.TEXT)
_TX: Final = Param("tx", Kind.BYTES)
_HASH: Final = Param("hash", Kind.BYTES)
_START: Final = Param("start", Kind.TEXT, "")
_LIMIT: Final = Param("limit", Kind.INT, 30)
_SINCE: Final = Param("since", Kind.TEXT, "")
_UNTIL: Final = Param("until", Kind.TEXT, "")
_HOLDING: Final = Shows(account="account", asset="asset")

METHODS: Final[dict[str, Method]] = {
    "health": Method(chain.health, role=None),
    "status": Method(chain.status),
    "net_info": Method(network.net_info),
    "genesis": Method(network.genesis, cost=10),
    "genesis_chunked": Method(network.genesis_chunked, (Param("chunk", Kind.INT, 0),), cost=10),
    "blockchain": Method(chain.blockchain, (Param("minHeight", Kind.INT, 0), Param("maxHeight", Kind.INT, 0))),
    "header": Method(chain.header, (_HEIGHT,)),
    "header_by_hash": Method(chain.header_by_hash, (Param("hash", Kind.HEX),)),
    "block": Method(chain.block, (_HEIGHT,), cost=5),
    "block_by_hash": Method(chain.block_by_hash, (_HASH,), cost=5),
    "block_results": Method(chain.block_results, (_HEIGHT,), cost=5),
    "block_search": Method(chain.block_search, (_QUERY, _PAGE, _PER_PAGE, _ORDER), cost=20),
    "commit": Method(chain.commit, (_HEIGHT,)),
    "pq_commit": Method(chain.pq_commit, (_HEIGHT,)),
    "validators": Method(consensus.validators, (_HEIGHT, _PAGE, _PER_PAGE)),
    "tx": Method(chain.tx, (_HASH, _PROVE), cost=5),
    "tx_search": Method(chain.tx_search, (_QUERY, _PROVE, _PAGE, _PER_PAGE, _ORDER), cost=20),
    "abci_info": Method(chain.abci_info),
    "abci_query": Method(
        chain.abci_query,
        (Param("path", Kind.TEXT, ""), Param("data", Kind.HEX, b""), Param("height", Kind.INT, 0), _PROVE),
        cost=5,
    ),
    "consensus_params": Method(consensus.consensus_params, (_HEIGHT,)),
    "consensus_state": Method(consensus.consensus_state),
    "dump_consensus_state": Method(consensus.dump_consensus_state, cost=20),
    "account": Method(chain.account, (Param("address", Kind.TEXT),)),
    "asset": Method(chain.asset, (Param("code", Kind.TEXT),)),
    "asset_list": Method(explorer_lists.asset_list, (Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=10),
    "tx_decode": Method(explorer_lists.tx_decode, (_TX,)),
    "stake_validators": Method(staking.stake_validators, cost=20),
    "stake_validator": Method(staking.stake_validator, (Param("validator", Kind.TEXT),)),
    "stake_delegation": Method(
        staking.stake_delegation, (Param("validator", Kind.TEXT), Param("delegator", Kind.TEXT))
    ),
    "stake_delegations": Method(staking.stake_delegations, (Param("delegator", Kind.TEXT),), cost=20),
    "amm_pools": Method(amm.amm_pools, (Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=20),
    "amm_pool": Method(amm.amm_pool, (_POOL,)),
    "amm_position": Method(amm.amm_position, (_ACCOUNT, _POOL)),
    "amm_positions": Method(amm.amm_positions, (_ACCOUNT,), cost=20),
    "amm_quote": Method(
        amm.amm_quote,
        (
            Param("operation", Kind.TEXT),
            Param("target", Kind.TEXT),
            Param("amount", Kind.TEXT),
            Param("asset", Kind.TEXT, ""),
            Param("amount_b", Kind.TEXT, "0"),
            Param("account", Kind.TEXT, ""),
        ),
        cost=2,
    ),
    "comp_account": Method(compliance.comp_account, (_ACCOUNT,), role=Role.REGULATOR, shows=Shows(account="account")),
    "comp_holding": Method(compliance.comp_holding, (_ACCOUNT, _ASSET), role=Role.REGULATOR, shows=_HOLDING),
    "comp_asset": Method(compliance.comp_asset, (_ASSET,)),
    "farms": Method(farm.farms, (Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=20),
    "farm": Method(farm.farm, (Param("farm", Kind.INT),)),
    "farm_position": Method(farm.farm_position, (_ACCOUNT, Param("position", Kind.INT))),
    "farm_positions": Method(farm.farm_positions, (_ACCOUNT,), cost=20),
    "hold": Method(pending.hold, (Param("hold", Kind.TEXT),)),
    "escrow": Method(pending.escrow, (Param("escrow", Kind.TEXT),)),
    "settlement": Method(pending.settlement, (Param("settlement", Kind.TEXT),)),
    "offer": Method(pending.offer, (Param("offer", Kind.TEXT),)),
    "pending": Method(pending.pending, (_ACCOUNT, Param("start", Kind.TEXT, ""), Param("limit", Kind.INT, 30)), cost=5),
    "claims": Method(pending.claims, (_ACCOUNT, Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=5),
    "cb_supply": Method(treasury.cb_supply, (_ASSET,)),
    "cb_rate": Method(treasury.cb_rate, (_ASSET,), cost=5),
    "cb_dealer": Method(treasury.cb_dealer, (_ACCOUNT, _ASSET)),
    "cb_dealers": Method(treasury.cb_dealers, (_ASSET,), cost=20),
    "cb_redemption": Method(treasury.cb_redemption, (_ASSET, Param("request", Kind.INT))),
    "cb_redemptions": Method(
        treasury.cb_redemptions, (_ASSET, Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=5
    ),
    "cb_credit_line": Method(treasury.cb_credit_line, (_ACCOUNT, _ASSET)),
    "kyc_credentials": Method(kyc.kyc_credentials, (_ACCOUNT,), cost=5, role=Role.REGULATOR, shows=Shows(account="account")),
    "kyc_credential": Method(
        kyc.kyc_credential,
        (Param("subject", Kind.TEXT), Param("issuer", Kind.TEXT), Param("type", Kind.TEXT)),
        role=Role.REGULATOR,
        shows=Shows(account="subject"),
    ),
    "kyc_domain": Method(kyc.kyc_domain, (Param("domain", Kind.TEXT), Param("account", Kind.TEXT, ""))),
    "comp_limits": Method(kyc.comp_limits, (_ACCOUNT, _ASSET), role=Role.REGULATOR, shows=_HOLDING),
    "comp_view": Method(
        kyc.comp_view,
        (Param("regulator", Kind.TEXT), Param("account", Kind.TEXT, ""), Param("asset", Kind.TEXT, "")),
        role=Role.REGULATOR,
        shows=_HOLDING,
    ),
    "comp_acts": Method(
        kyc.comp_acts, (Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=10, role=Role.REGULATOR, shows=Shows()
    ),
    "account_policy": Method(accounts.account_policy, (_ACCOUNT,)),
    "account_grants": Method(accounts.account_grants, (_ACCOUNT,), cost=5),
    "account_delegation": Method(accounts.account_delegation, (_ACCOUNT, Param("to", Kind.TEXT))),
    "account_sponsorships": Method(accounts.account_sponsorships, (_ACCOUNT, _START, _LIMIT), cost=10),
    "account_sponsorship": Method(accounts.account_sponsorship, (_ACCOUNT, Param("who", Kind.TEXT))),
    "cb_credit_lines": Method(treasury.cb_credit_lines, (_ASSET,), cost=20),
    "gov_overview": Method(gov.gov_overview),
    "gov_proposals": Method(gov.gov_proposals, (Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=20),
    "gov_proposal": Method(gov.gov_proposal, (Param("proposal", Kind.INT),), cost=5),
    "gov_group": Method(gov.gov_group, (Param("group", Kind.TEXT), Param("proposal", Kind.INT, -1)), cost=2),
    "node_health": Method(monitoring.node_health, cost=5),
    "node_alerts": Method(monitoring.node_alerts, cost=5),
    "node_metrics": Method(monitoring.node_metrics, cost=20),
    "snapshot_create": Method(
        snapshots.snapshot_create,
        (Param("height", Kind.INT, 0), Param("base", Kind.INT, -1), Param("ticket", Kind.TEXT, "")),
        cost=100,
        role=Role.OPERATOR,
    ),
    "snapshot_status": Method(snapshots.snapshot_status, role=Role.OPERATOR),
    # an operator's cost nothing: a bound that was set too low could not be taken back else
    "log_levels": Method(administration.log_levels, cost=0, role=Role.OPERATOR),
    "set_log_level": Method(
        administration.set_log_level,
        (Param("module", Kind.TEXT), Param("level", Kind.TEXT), Param("for_s", Kind.INT, 0)),
        cost=0,
        role=Role.OPERATOR,
    ),
    "config_reload": Method(administration.config_reload, cost=0, role=Role.OPERATOR),
    "account_history": Method(
        history.account_history,
        (
            _ACCOUNT, _START, _LIMIT, Param("order", Kind.TEXT, "desc"), Param("asset", Kind.TEXT, ""),
            Param("counterparty", Kind.TEXT, ""), _SINCE, _UNTIL, Param("min_amount", Kind.TEXT, ""),
            Param("max_amount", Kind.TEXT, ""), Param("code", Kind.TEXT, ""),
        ),
        cost=10,
    ),
    "asset_holders": Method(history.asset_holders, (_ASSET, _START, _LIMIT), cost=5),
    "asset_supply_history": Method(
        history.asset_supply_history, (_ASSET, _SINCE, _UNTIL, Param("points", Kind.INT, 100)), cost=10
    ),
    "pool_candles": Method(history.pool_candles, (_POOL, Param("interval_s", Kind.INT, 3_600), _SINCE, _UNTIL), cost=50),
    "top_accounts": Method(history.top_accounts, (_ASSET, _LIMIT), cost=5),
    "recent_txs": Method(history.recent_txs, (_START, _LIMIT), cost=5),
    "index_status": Method(history.index_status),
    "audit_anchors": Method(
        audit.audit_anchors, (_ACCOUNT, Param("log", Kind.TEXT, ""), Param("start", Kind.INT, 0), Param("limit", Kind.INT, 30)), cost=5
    ),
    "audit_entries": Method(
        audit.audit_entries,
        (Param("before", Kind.INT, 0), Param("limit", Kind.INT, 30), Param("actor", Kind.TEXT, ""), Param("action", Kind.TEXT, "")),
        cost=50,
        role=Role.OPERATOR,
    ),
    "record": Method(chain.record, (Param("path", Kind.TEXT),)),
    "broadcast_tx_sync": Method(transactions.broadcast_tx_sync, (_TX,), role=Role.SUBMIT),
    "broadcast_tx_async": Method(transactions.broadcast_tx_async, (_TX,), role=Role.SUBMIT),
    "broadcast_tx_commit": Method(transactions.broadcast_tx_commit, (_TX,), role=Role.SUBMIT),
    "broadcast_tx_batch": Method(transactions.broadcast_tx_batch, (Param("txs", Kind.BYTES_LIST),), role=Role.SUBMIT),
    "broadcast_evidence": Method(transactions.broadcast_evidence, (Param("evidence", Kind.BYTES),), cost=200, role=Role.SUBMIT),
    "check_tx": Method(transactions.check_tx, (_TX,), role=Role.SUBMIT),
    "simulate": Method(transactions.simulate, (_TX, Param("assume_signed", Kind.BOOL, False)), cost=5, role=Role.SUBMIT),
    "tx_status": Method(transactions.tx_status, (_HASH,)),
    "num_unconfirmed_txs": Method(transactions.num_unconfirmed_txs),
    "unconfirmed_txs": Method(transactions.unconfirmed_txs, (Param("limit", Kind.INT, 30),)),
}
