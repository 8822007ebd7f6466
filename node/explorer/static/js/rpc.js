// Calls of the node that served this page. Calls of one moment travel as one batch; a method that the node does not have is remembered.

const METHOD_NOT_FOUND = -32601;
const BATCH_MAX = 40;
const TIMEOUT_MS = 20_000;

export class RpcError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

let nextId = 1;
let waiting = [];
const missing = new Set();

/** The result of a method. Throws `RpcError`, or `TypeError` while the node does not answer. */
export function call(method, params = {}) {
  return new Promise((resolve, reject) => {
    if (!waiting.length) queueMicrotask(flush);
    waiting.push({ id: nextId++, method, params, resolve, reject });
  });
}

/** As `call`; undefined when this node has no such method. */
export async function optional(method, params = {}) {
  if (missing.has(method)) return undefined;
  try {
    return await call(method, params);
  } catch (error) {
    if (error.code !== METHOD_NOT_FOUND) throw error;
    missing.add(method);
    return undefined;
  }
}

/** As `optional`, for what an index answers: undefined also when it refuses, because the page has another way or does without. */
export async function indexed(method, params = {}) {
  try {
    return await optional(method, params);
  } catch (error) {
    if (error instanceof RpcError) return undefined;
    throw error;
  }
}

/** As `call`; `fallback` when the node answers with an error. */
export async function attempt(method, params = {}, fallback = null) {
  try {
    return await call(method, params);
  } catch (error) {
    if (error instanceof RpcError) return fallback;
    throw error;
  }
}

function flush() {
  const calls = waiting;
  waiting = [];
  for (let start = 0; start < calls.length; start += BATCH_MAX) send(calls.slice(start, start + BATCH_MAX));
}

async function send(calls) {
  try {
    const body = calls.map(({ id, method, params }) => ({ jsonrpc: "2.0", id, method, params }));
    const response = await fetch("./", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new TypeError(`the node answers with HTTP ${response.status}`);
    const answers = await response.json();
    if (!Array.isArray(answers)) throw errorOf(answers.error);
    const byId = new Map(answers.map((answer) => [answer.id, answer]));
    for (const { id, resolve, reject } of calls) {
      const answer = byId.get(id);
      if (answer && "result" in answer) resolve(answer.result);
      else reject(errorOf(answer?.error));
    }
  } catch (error) {
    for (const { reject } of calls) reject(error);
  }
}

const errorOf = (error) => new RpcError(error?.code ?? 0, error?.data || error?.message || "the node gave no answer");
