// Sends a chat completion, whose trace shows what happens, and acts on it.

import { ApiError, call, stream } from "./api.js";

/** Alternatives of forced tokens. */
const NUM_TOP = 5;

/** One request for a chat completion, which can be steered. */
export class ChatSource {
  /**
   * @param {Record<string, any>} fields Of the request: its model, messages, mods and sampling.
   * @param {import("./trace_feed.js").TraceFeed} feed
   */
  constructor(fields, feed) {
    this.id = `inspector-${crypto.randomUUID()}`;
    this.fields = fields;
    this.timeline = feed.follow(this.id);
    /** @type {ApiError | null} */ this.error = null;
  }

  /** Send the request, and wait for its end. Its trace has the rest. */
  async run() {
    try {
      for await (const chunk of stream("v1/chat/completions", this.#body(), this.id)) this.usage = chunk.usage;
    } catch (error) {
      this.error = error instanceof ApiError ? error : new ApiError({ message: String(error) });
      this.timeline.fail(this.error.message);
    }
  }

  /** Act on the running request. @param {object} action */
  act(action) {
    return call(`v1/chat/completions/${this.id}/actions`, action);
  }

  /** A stream whose text may change, so that an action by hand can reach each token. */
  #body() {
    const options = { include_tokens: true, include_retractions: true, include_usage: true };
    return { ...this.fields, stream: true, stream_options: options, trace: true, logprobs: true, top_logprobs: NUM_TOP };
  }
}
