// New blocks as they come: a WebSocket to the node that served this page, tried again with growing pauses when it breaks. While it is
// down, the height is asked for now and then, so a node with no room for another listener is followed all the same.

import { call } from "./rpc.js";

const PAUSE_MS = [500, 1_000, 2_000, 5_000, 10_000];
const POLL_MS = 2_500;
const QUERY = "tm.event='NewBlockHeader'";

const listeners = new Set();
const watchers = new Set();
let state = "connecting";
let tip = 0;
let failures = 0;
let poll = 0;

/** Call `listener({height, time})` for every new block; gives what ends it. */
export function onBlock(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Call `watcher(state, height)` when the connection changes: "live", "polling" or "offline". */
export function onState(watcher) {
  watchers.add(watcher);
  watcher(state, tip);
}

export const tipHeight = () => tip;

function tell(height, time) {
  if (height <= tip) return;
  tip = height;
  for (const watcher of watchers) watcher(state, tip);
  for (const listener of listeners) listener({ height, time });
}

function become(next) {
  state = next;
  for (const watcher of watchers) watcher(state, tip);
}

/** Begin, once. */
export function start() {
  connect();
  ask();
}

function connect() {
  const url = new URL("websocket", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  const socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "subscribe", params: { query: QUERY } }));
  });
  socket.addEventListener("message", ({ data }) => {
    const answer = JSON.parse(data);
    if (answer.error) {
      socket.close(); // told that it was too slow: begin again from the tip
      return;
    }
    failures = 0;
    clearTimeout(poll);
    become("live");
    const header = answer.result?.data?.value?.header;
    if (header) tell(Number(header.height), header.time);
  });
  socket.addEventListener("close", () => {
    const pause = PAUSE_MS[Math.min(failures++, PAUSE_MS.length - 1)];
    clearTimeout(poll);
    ask();
    setTimeout(connect, pause);
  });
}

async function ask() {
  try {
    const { sync_info: sync } = await call("status");
    if (state !== "live" || failures) become("polling");
    tell(Number(sync.latest_block_height), sync.latest_block_time);
  } catch {
    become("offline");
  }
  if (state !== "live") poll = setTimeout(ask, POLL_MS);
}
