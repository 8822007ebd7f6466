// Blocks, newest first, page by page.

import { blockRows, signersCell } from "../blocks.js";
import { card, h, table } from "../dom.js";
import { ago, count, short } from "../format.js";
import { blockLink, signerLink, validatorNames } from "../ledger.js";
import { place, placeWith } from "../router.js";

const PAGE = 30;

export const title = () => "Blocks";

export function view(context) {
  const top = /^[1-9][0-9]{0,17}$/.test(context.query.from ?? "") ? Number(context.query.from) : 0;
  const build = async () => {
    const [rows, names] = await Promise.all([blockRows(PAGE, top), validatorNames()]);
    const last = rows[rows.length - 1]?.height ?? 1;
    return card("", table("Blocks", [
      { title: "Height", cell: (row) => blockLink(row.height) },
      { title: "Hash", cell: (row) => h("span", { class: "mono", title: row.hash }, short(row.hash)) },
      { title: "Age", cell: (row) => ago(row.time) },
      { title: "Signed by", cell: (row) => signersCell(row, names) },
      { title: "Transactions", num: true, cell: (row) => count(row.txs) },
      { title: "Bytes", num: true, cell: (row) => count(row.size) },
      { title: "Round", num: true, cell: (row) => row.round },
      { title: "Proposer", cell: (row) => signerLink(names, row.proposer) },
    ], rows), h("p", { class: "pages" },
      top ? h("a", { href: place("blocks") }, "Newest") : null,
      last > 1 ? h("a", { href: placeWith({ from: last - 1 }, "blocks") }, "Older") : null));
  };
  return top ? build() : context.live(build);
}
