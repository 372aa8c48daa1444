// Sends a chat completion, whose trace shows what happens, and acts on it.

import { ApiError, call, stream } from "./api.js";

/** Alternatives of forced tokens. */
const NUM_TOP = 5;

/** A request that runs, which can be steered. */
export class RequestSource {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
  }

  /** Act on the running request. @param {object} action */
  act(action) {
    return call(`v1/requests/${encodeURIComponent(this.id)}/actions`, action);
  }
}

/** A request for a chat completion that the page sends. */
export class ChatSource extends RequestSource {
  /**
   * @param {Record<string, any>} fields Of the request: its model, messages, mods and sampling.
   * @param {import("./trace_feed.js").TraceFeed} feed
   */
  constructor(fields, feed) {
    super(`inspector-${crypto.randomUUID()}`);
    this.fields = fields;
    this.timeline = feed.follow(this.id);
    /** @type {ApiError | null} */ this.error = null;
  }

  /** Send the request, and wait for its end; return its error, if it fails. Its trace has the rest. */
  async run() {
    try {
      for await (const chunk of stream("v1/chat/completions", this.#body(), this.id)) {
        if (chunk.concordance?.branch) this.timeline.take({ branched: chunk.concordance.branch });
      }
    } catch (error) {
      this.error = error instanceof ApiError ? error : new ApiError({ message: String(error) });
      this.timeline.fail(this.error.message);
    }
    return this.error;
  }

  /** A stream whose text may change, so that an action by hand can reach each token. */
  #body() {
    const options = { include_tokens: true, include_retractions: true, include_usage: true };
    return { ...this.fields, stream: true, stream_options: options, trace: true, logprobs: true, top_logprobs: NUM_TOP };
  }
}
