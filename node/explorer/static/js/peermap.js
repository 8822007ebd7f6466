// The map of a node's links as SVG: this node in the middle, peers around it, arrows from who dialled. Text only ever becomes text nodes.

import { short } from "./format.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 330;
const SHOWN_MAX = 40;
const MIDDLE = 34;
const PEER = 9;

function shape(name, attributes, ...children) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** An SVG of the links; `latencyOf(peer)` is in milliseconds or null. */
export function peerMap(own, peers, latencyOf) {
  const shown = peers.slice(0, SHOWN_MAX);
  const [cx, cy] = [WIDTH / 2, HEIGHT / 2];
  const marker = shape("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, shape("path", { d: "M0 0 8 4 0 8z", class: "map-arrow" }));
  const parts = [shape("defs", {}, marker)];
  shown.forEach((peer, i) => {
    const angle = (2 * Math.PI * i) / shown.length - Math.PI / 2;
    const [x, y] = [cx + 250 * Math.cos(angle), cy + 130 * Math.sin(angle)];
    const length = Math.hypot(x - cx, y - cy);
    const [dx, dy] = [(x - cx) / length, (y - cy) / length];
    const inner = [cx + dx * (MIDDLE + 3), cy + dy * (MIDDLE + 3)];
    const outer = [x - dx * (PEER + 3), y - dy * (PEER + 3)];
    const [from, to] = peer.is_outbound ? [inner, outer] : [outer, inner];
    parts.push(shape("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: "map-link", "marker-end": "url(#arrow)" }));
    const latency = latencyOf(peer);
    const name = `${peer.node_info.moniker || short(peer.node_info.id)}${latency === null ? "" : ` ${latency} ms`}`;
    const below = y >= cy ? 26 : -16;
    parts.push(shape("g", {}, shape("title", {}, `${peer.node_info.id} at ${peer.remote_ip}`), shape("circle", { cx: x, cy: y, r: PEER, class: "map-peer" }), shape("text", { x, y: y + below, class: "map-text" }, name)));
  });
  parts.push(shape("circle", { cx, cy, r: MIDDLE, class: "map-own" }), shape("text", { x: cx, y: cy + 5, class: "map-text own" }, own.moniker));
  const words = `${own.moniker} with ${peers.length} peers: ${shown.map((peer) => peer.node_info.moniker).join(", ")}`;
  return shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "map", role: "img", "aria-label": words }, ...parts);
}
