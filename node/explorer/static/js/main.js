// The shell: which view a place has, navigation, search, theme, the pulse of new blocks. What a page shows stands in `views/`.

import { redrawAll } from "./charts.js";
import { fill, h, note } from "./dom.js";
import { count } from "./format.js";
import { loadScales } from "./ledger.js";
import { onBlock, onState, start } from "./live.js";
import { parseHash, place } from "./router.js";
import { attempt } from "./rpc.js";
import { search } from "./search.js";
import * as account from "./views/account.js";
import * as asset from "./views/asset.js";
import * as block from "./views/block.js";
import * as blocks from "./views/blocks.js";
import * as compliance from "./views/compliance.js";
import * as farm from "./views/farm.js";
import * as governance from "./views/governance.js";
import * as health from "./views/health.js";
import * as network from "./views/network.js";
import * as overview from "./views/overview.js";
import * as pool from "./views/pool.js";
import * as proof from "./views/proof.js";
import * as proposal from "./views/proposal.js";
import * as tx from "./views/tx.js";
import * as validator from "./views/validator.js";
import * as validators from "./views/validators.js";

// name of a place -> [view, least and most arguments]
const VIEWS = {
  "": [overview, 0, 0],
  blocks: [blocks, 0, 0],
  block: [block, 1, 1],
  tx: [tx, 1, 1],
  account: [account, 1, 1],
  proof: [proof, 1, 4],
  validators: [validators, 0, 0],
  validator: [validator, 1, 1],
  assets: [asset.list, 0, 0],
  asset: [asset, 1, 1],
  pools: [pool.list, 0, 0],
  pool: [pool, 1, 1],
  farms: [farm.list, 0, 0],
  farm: [farm, 1, 1],
  governance: [governance, 0, 0],
  proposal: [proposal, 1, 1],
  compliance: [compliance, 0, 1],
  network: [network, 0, 0],
  health: [health, 0, 0],
};
const NAVIGATION = [
  ["", "Overview"], ["blocks", "Blocks"], ["validators", "Validators"], ["assets", "Assets"], ["pools", "Pools"], ["farms", "Farms"],
  ["governance", "Governance"], ["compliance", "Compliance"], ["network", "Network"], ["health", "Health"],
];
const BELONGS = { block: "blocks", tx: "blocks", validator: "validators", asset: "assets", pool: "pools", farm: "farms", proposal: "governance" };
const TURN_MS = 1_000;

const main = document.getElementById("main");
const navigation = document.getElementById("nav");
let current = null;

/** What a view gets: its arguments, and parts that follow the chain. It ends when another view begins. */
class Context {
  constructor({ name, args, query }) {
    this.name = name;
    this.args = args;
    this.query = query;
    this.isOver = false;
    this.endings = [];
  }

  /** A part of a page that is built again after new blocks, at most once in `everyMs`, but never under somebody's focus. */
  live(build, everyMs = TURN_MS) {
    const part = h("div", { class: "live" }, h("p", { class: "empty" }, "Loading …"));
    let [isBusy, at, isWanted] = [false, 0, false];
    const turn = async () => {
      if (isBusy || this.isOver) {
        isWanted = true;
        return;
      }
      if (at && (document.hidden || isUsed(part))) return;
      [isBusy, isWanted, at] = [true, false, Date.now()];
      try {
        const built = await build();
        const places = [...part.querySelectorAll(".scroll")].map((table) => table.scrollLeft);
        if (!this.isOver) fill(part, built);
        part.querySelectorAll(".scroll").forEach((table, i) => table.scrollTo(places[i] ?? 0, 0));
      } catch (error) {
        if (!this.isOver && !part.querySelector(".card, table, dl")) fill(part, trouble(error));
      }
      isBusy = false;
      if (isWanted) setTimeout(turn, everyMs);
    };
    this.endings.push(onBlock(() => (Date.now() - at >= everyMs ? turn() : (isWanted ||= !setTimeout(turn, everyMs)))));
    turn();
    return part;
  }

  /** Call `work` every `ms` while this view is there. */
  every(ms, work) {
    const timer = setInterval(work, ms);
    this.endings.push(() => clearInterval(timer));
  }

  end() {
    this.isOver = true;
    for (const ending of this.endings) ending();
  }
}

// Whether the keyboard is in a part of the page, or somebody has marked text there.
function isUsed(part) {
  const selection = getSelection();
  return Boolean(part.querySelector(":focus-visible")) || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

function trouble(error) {
  const words = error.name === "TimeoutError" || error instanceof TypeError ? "The node does not answer. This page tries again with the next block." : error.message;
  return note(words, "bad");
}

async function show() {
  const where = parseHash(location.hash);
  const [view, least, most] = (where && VIEWS[where.name]) ?? [];
  current?.end();
  const context = new Context(where ?? { name: "", args: [], query: {} });
  current = context;
  mark(where ? BELONGS[where.name] ?? where.name : null);
  main.setAttribute("aria-busy", "true");
  let body;
  let title = "Not found";
  if (!view || where.args.length < least || where.args.length > most) {
    body = note("There is no such page. Search for a height, a hash, an address, an asset, a pool or a validator.", "bad");
  } else {
    title = view.title(context);
    try {
      await loadScales();
      body = await view.view(context);
    } catch (error) {
      body = trouble(error);
    }
  }
  if (context.isOver) return;
  document.title = `${title} · QENEX explorer`;
  fill(main, h("h1", {}, title), body);
  main.removeAttribute("aria-busy");
  main.dataset.shown = location.hash; // of what is on the page, which a link may be ahead of
  if (show.wasCalled) main.focus({ preventScroll: true });
  show.wasCalled = true;
  scrollTo(0, 0);
}

function mark(name) {
  for (const anchor of document.querySelectorAll("#nav a")) {
    if (anchor.dataset.name === name) {
      anchor.setAttribute("aria-current", "page");
      navigation.scrollLeft = anchor.offsetLeft - (navigation.clientWidth - anchor.offsetWidth) / 2;
    } else anchor.removeAttribute("aria-current");
  }
}

function setUpTheme() {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("theme", value);
      return value ?? localStorage.getItem("theme");
    } catch {
      return value; // a browser that keeps nothing
    }
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = (theme) => {
    root.dataset.theme = theme === "light" || theme === "dark" ? theme : dark.matches ? "dark" : "light";
    button.setAttribute("aria-label", root.dataset.theme === "dark" ? "Use light colours" : "Use dark colours");
    redrawAll();
  };
  apply(remembered());
  dark.addEventListener("change", () => apply(remembered()));
  button.addEventListener("click", () => apply(remembered(root.dataset.theme === "dark" ? "light" : "dark")));
}

function setUpSearch() {
  const input = document.getElementById("query");
  document.getElementById("search").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    const found = await search(text);
    if (found) {
      input.value = "";
      input.blur();
      location.hash = found;
    } else {
      current?.end();
      mark(null);
      fill(main, h("h1", {}, "Nothing found"), note(`Nothing on this chain is called “${text}”.`, "bad"));
      main.focus({ preventScroll: true });
    }
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    }
    if (event.key === "Escape" && event.target === input) input.blur();
  });
}

function setUpPulse() {
  const pulse = document.getElementById("pulse");
  const text = document.getElementById("pulse-text");
  const names = { live: "live", polling: "following", offline: "no answer", connecting: "connecting" };
  onState((state, height) => {
    pulse.dataset.state = state;
    text.textContent = height ? `${count(height)} · ${names[state]}` : names[state];
  });
}

async function nameChain() {
  const status = await attempt("status").catch(() => null);
  if (status) document.getElementById("chain").textContent = status.node_info.network;
}

fill(navigation, h("ul", {}, NAVIGATION.map(([name, title]) => h("li", {}, h("a", { href: place(name), "data-name": name }, title)))));
setUpTheme();
setUpSearch();
setUpPulse();
nameChain();
start();
addEventListener("hashchange", show);
show();
