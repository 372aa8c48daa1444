// Where two completions differ.

/**
 * The position of the first token that two completions do not share; null if none.
 * @param {import("./token_timeline.js").TokenTimeline} one
 * @param {import("./token_timeline.js").TokenTimeline} other
 */
export function firstDifference(one, other) {
  const length = Math.min(one.completion.length, other.completion.length);
  for (let i = 0; i < length; i++) {
    if (one.completion[i].token_id !== other.completion[i].token_id) return i;
  }
  const isOver = [one, other].every(({ state }) => state === "ended" || state === "failed");
  return isOver && one.completion.length !== other.completion.length ? length : null;
}
