// Feeds a timeline from a chat completion that is streamed.

import { ApiError, call, stream } from "./api.js";

/** Alternatives that are asked for. */
const NUM_TOP = 8;

/** @typedef {import("./token_timeline.js").TokenTimeline} TokenTimeline */

/** One request for a chat completion, which can be steered. */
export class ChatSource {
  /**
   * @param {Record<string, any>} fields Of the request: its model, messages, mods and sampling.
   * @param {TokenTimeline} timeline
   */
  constructor(fields, timeline) {
    this.id = `inspector-${crypto.randomUUID()}`;
    this.fields = fields;
    this.timeline = timeline;
    /** @type {ApiError | null} */ this.error = null;
  }

  /** Stream the completion into the timeline, to its end. */
  async run() {
    try {
      for await (const chunk of stream("v1/chat/completions", this.#body(), this.id)) this.#take(chunk);
      this.timeline.setState("ended", this.timeline.end);
    } catch (error) {
      this.error = error instanceof ApiError ? error : new ApiError({ message: String(error) });
      this.timeline.setState("failed", this.error.message);
    }
  }

  /** Act on the running request. @param {object} action */
  act(action) {
    return call(`v1/chat/completions/${this.id}/actions`, action);
  }

  #body() {
    const options = { include_tokens: true, include_retractions: true, include_usage: true };
    const asked = { stream: true, stream_options: options, logprobs: true, top_logprobs: NUM_TOP };
    return { ...this.fields, ...asked, sampled_logprobs: true };
  }

  /** @param {any} chunk */
  #take(chunk) {
    const { tokens, logprobs, control, mods } = chunk.concordance ?? {};
    if (tokens) this.timeline.changeTokens(tokens);
    if (logprobs) this.timeline.addProbabilities(logprobs.first, logprobs.content ?? []);
    if (control) this.timeline.addControl(control);
    if (chunk.usage) this.timeline.setUsage(chunk.usage, mods ?? []);
    const reason = chunk.choices?.[0]?.finish_reason;
    if (reason) this.timeline.setState(this.timeline.state, reason);
  }
}
