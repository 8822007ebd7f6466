// What CosmJS makes of a node: every method it has, and its subscriptions. Prints one JSON object. Usage: node client.mjs URL TX_BASE64 TX_BASE64
import { Comet38Client, connectComet } from "@cosmjs/tendermint-rpc";

const [url, ...txs] = process.argv.slice(2);
const [tx, second] = txs.map((text) => Buffer.from(text, "base64"));
const found = { connected: (await connectComet(url)).constructor.name };
const client = await Comet38Client.connect(url);

const status = await client.status();
found.network = status.nodeInfo.network;
found.catchingUp = status.syncInfo.catchingUp;
await client.health();
found.abciHeight = (await client.abciInfo()).lastBlockHeight;
found.genesis = (await client.genesis()).chainId;
found.block = (await client.block(1)).block.header.height;
found.firstCommitSignatures = (await client.block(1)).block.lastCommit;
found.commit = (await client.commit(1)).commit.signatures.length;
found.canonical = (await client.commit(1)).canonical;
found.validators = (await client.validatorsAll(1)).validators.length;
const page = await client.validators({ height: 1, page: 2, per_page: 3 });
found.validatorsPage = [page.validators.length, page.total];
found.blockchain = (await client.blockchain(1, 2)).blockMetas.length;
found.unconfirmed = (await client.numUnconfirmedTxs()).total;

const socket = await Comet38Client.connect(url.replace("http", "ws"));
found.socketNetwork = (await socket.status()).nodeInfo.network;
const events = { blocks: [], headers: [], txs: [] };
const listen = (stream, list, read) =>
  stream.subscribe({ next: (event) => list.push(read(event)), error: (error) => { throw error; } });
listen(socket.subscribeNewBlock(), events.blocks, (event) => event.header.height);
listen(socket.subscribeNewBlockHeader(), events.headers, (event) => event.height);
listen(socket.subscribeTx(), events.txs, (event) => event.height);
while (!events.blocks.length) await new Promise((resolve) => setTimeout(resolve, 50));

const sent = await client.broadcastTxCommit({ tx });
found.sentHeight = sent.height;
found.sentCode = sent.txResult.code;
found.again = (await client.broadcastTxSync({ tx })).code;
const byHash = await client.tx({ hash: sent.hash, prove: true });
found.txHeight = byHash.height;
found.txProofTotal = byHash.proof.proof.total;
found.txEvents = byHash.result.events.map((event) => event.type);
const search = await client.txSearchAll({ query: `tx.height = ${sent.height}` });
const found1 = await client.txSearch({ query: `tx.height = ${sent.height}`, page: 1, per_page: 1 });
found.searchedPage = [found1.txs.length, found1.totalCount >= 1];
found.searched = search.txs.some((item) => Buffer.from(item.hash).equals(Buffer.from(sent.hash)));
const results = await client.blockResults(sent.height);
found.results = results.results.length;
found.resultCodes = results.results.map((result) => result.code);
found.blockSearch = (await client.blockSearch({ query: `block.height = ${sent.height}` })).totalCount;
found.blockSearchAll = (await client.blockSearchAll({ query: `block.height <= ${sent.height}` })).totalCount === sent.height;
const query = await client.abciQuery({ path: "/supply/QNX", data: new Uint8Array(), prove: true });
found.queryBytes = query.value.length;
found.proofOps = query.proof.ops.length;
found.async = (await client.broadcastTxAsync({ tx: second })).hash.length;
while (events.txs.length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
while (!events.txs.includes(sent.height)) await new Promise((resolve) => setTimeout(resolve, 50));
found.blocksInOrder = events.blocks.every((height, i) => i === 0 || height === events.blocks[i - 1] + 1);
found.headers = events.headers.length > 0;
client.disconnect();
socket.disconnect();
// every method of the client but those of its own life was called above
const source = (await import("node:fs")).readFileSync(new URL(import.meta.url), "utf8");
const own = new Set(["constructor", "detectVersion", "doCall"]);
const methods = Object.getOwnPropertyNames(Comet38Client.prototype).filter((name) => !own.has(name));
found.methods = methods.length;
found.notCalled = methods.filter((name) => !new RegExp(`\\.${name}\\(`).test(source));
console.log(JSON.stringify(found));
process.exit(0);
