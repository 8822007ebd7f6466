// Who this node is connected to: a map of the peers, and what went over each link.

import { badge, card, facts, h, note, table } from "../dom.js";
import { count, short } from "../format.js";
import { call, optional } from "../rpc.js";
import { peerMap } from "../peermap.js";

export const title = () => "Network";

// From ping to pong, in milliseconds; null until a peer has answered one.
function latencies(metrics) {
  return (peer) => {
    const seconds = metrics?.[`qenex_peer_round_trip_seconds{peer_id="${peer.node_info.id}"}`];
    return seconds === undefined ? null : Math.round(seconds * 10_000) / 10;
  };
}

export function view(context) {
  return context.live(async () => {
    const [status, net, figures] = await Promise.all([call("status"), call("net_info"), optional("node_metrics")]);
    const latencyOf = latencies(figures?.metrics);
    const bytes = (text) => (BigInt(text) > 9_999_999n ? `${count(BigInt(text) / 1_000_000n)} MB` : `${count(BigInt(text) / 1_000n)} kB`);
    return [
      card("", facts([
        ["This node", status.node_info.moniker],
        ["Id", h("span", { class: "mono wrap" }, status.node_info.id)],
        ["Chain", status.node_info.network],
        ["Version", status.node_info.other.qenex_version],
        ["Peers", net.n_peers],
      ])),
      card("Map of the links", net.peers.length ? peerMap(status.node_info, net.peers, latencyOf) : note("This node has no peers."),
        h("p", { class: "small" }, "Only this node's own links are known to it: arrows point from who dialled.")),
      card("Peers", table("Peers", [
        { title: "Name", cell: (row) => row.node_info.moniker },
        { title: "Id", cell: (row) => h("span", { class: "mono", title: row.node_info.id }, short(row.node_info.id)) },
        { title: "Address", cell: (row) => row.remote_ip },
        { title: "Dialled by", cell: (row) => (row.is_outbound ? badge("us", "info") : badge("them")) },
        { title: "Sent", num: true, cell: (row) => bytes(row.connection_status.SendMonitor.Bytes) },
        { title: "Received", num: true, cell: (row) => bytes(row.connection_status.RecvMonitor.Bytes) },
        { title: "Round trip", num: true, cell: (row) => (latencyOf(row) === null ? "–" : `${latencyOf(row)} ms`) },
        { title: "Version", cell: (row) => row.node_info.other.qenex_version },
      ], net.peers, "No peers.")),
    ];
  }, 3_000);
}
