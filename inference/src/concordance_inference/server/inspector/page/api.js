// Requests to the server that sent this page.

import { send } from "./key.js";

/** Time until a stream that ended is requested again, in ms. */
const RETRY_MS = 3000;

/** An error of the server, as its body has it. */
export class ApiError extends Error {
  /** @param {{message?: string, traceback?: string, mod?: string}} body */
  constructor(body) {
    super(body.message ?? "the server sent no reason");
    this.traceback = body.traceback ?? "";
    this.mod = body.mod ?? null;
  }
}

/**
 * Send a request; return the JSON of its response.
 * @param {string} path
 * @param {object} [body] Sent by POST, if any.
 * @param {string} [method]
 * @returns {Promise<any>}
 */
export async function call(path, body, method) {
  const response = await send(path, body ? post(body) : { method });
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

/**
 * Send a request whose response is a stream; yield the JSON of its events.
 * @param {string} path
 * @param {object} body
 * @param {string} id The request's id, by which actions name it.
 * @returns {AsyncGenerator<any>}
 */
export async function* stream(path, body, id) {
  const response = await send(path, post(body, { "X-Request-Id": id }));
  if (!response.ok || !response.body) throw await errorOf(response);
  yield* eventsOf(response.body);
}

/**
 * Follow a stream of events, which is requested again when it ends.
 * @param {string} path
 * @param {(event: any) => void} take
 * @returns {() => void} Ends it.
 */
export function follow(path, take) {
  const ending = new AbortController();
  const isOver = () => ending.signal.aborted;
  (async () => {
    while (!isOver()) {
      try {
        const { ok, body } = await send(path, { signal: ending.signal }, false);
        if (ok && body) for await (const event of eventsOf(body)) if (!isOver()) take(event);
      } catch { /* the connection ended */ }
      if (!isOver()) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  })();
  return () => ending.abort();
}

/** The JSON of the events in a body. @param {ReadableStream<BufferSource>} body @returns {AsyncGenerator<any>} */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new ApiError(event.error);
      yield event;
    }
  }
}

/** @param {object} body @param {Record<string, string>} [headers] @returns {RequestInit} */
function post(body, headers = {}) {
  const json = { "Content-Type": "application/json" };
  return { method: "POST", headers: { ...json, ...headers }, body: JSON.stringify(body) };
}

/** What an error says, of any kind. @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {Response} response */
async function errorOf(response) {
  try {
    return new ApiError((await response.json()).error);
  } catch {
    return new ApiError({ message: `the server sent status ${response.status}` });
  }
}
