// Aligns two completions by their tokens: where they differ, and where they are the same again.

/**
 * @typedef {import("./token_timeline.js").Cell} Cell
 * @typedef {import("./token_timeline.js").TokenTimeline} TokenTimeline
 *
 * @typedef {object} Part Tokens of two completions that belong beside each other.
 * @property {"same" | "different" | "backtracked" | "pending"} kind `backtracked`: one has removed tokens, and the completions
 *   are the same. `pending`: the other has none yet.
 * @property {Cell[]} left Its tokens, the removed ones in their places.
 * @property {Cell[]} right
 *
 * @typedef {[left: number, right: number, length: number]} Run Equal tokens, by their positions.
 * @typedef {{run: Run, before: Path | null}} Path The runs up to a place, the last one first.
 * @typedef {{x: number, y: number, path: Path | null}} Place Tokens that are aligned.
 */

/** Differences that are searched at once; after more, the longest alignment is taken, and the search continues. */
const MAX_DIFFERENCES = 128;
/** Tokens that are equal by chance: fewer than this between two differences are a part of them. */
const MIN_RUN = 3;

/**
 * Align two timelines, as they are now.
 * @param {TokenTimeline} one
 * @param {TokenTimeline} other
 * @returns {Part[]}
 */
export function aligned(one, other) {
  const sides = [one, other].map(withRemoved);
  /** @type {Part[]} */ const parts = [];
  const add = (/** @type {Part["kind"]} */ kind, /** @type {Cell[]} */ left, /** @type {Cell[]} */ right) => {
    const last = parts.at(-1);
    if (!left.length && !right.length) return;
    if (last?.kind !== kind) parts.push({ kind, left, right });
    else [last.left.push(...left), last.right.push(...right)];
  };
  let [i, j] = [0, 0];
  for (const [left, right, length] of [...runsOf(one.completion, other.completion), [one.completion.length, other.completion.length, 0]]) {
    add("different", sides[0].slice(i, left).flat(), sides[1].slice(j, right).flat());
    for (let k = 0; k < length; k++) {
      const [here, there] = [sides[0][left + k], sides[1][right + k]];
      const isSame = idsOf(here) === idsOf(there);
      if (!isSame) add(k || !(left - i || right - j) ? "backtracked" : "different", here.slice(0, -1), there.slice(0, -1));
      add("same", isSame ? here : here.slice(-1), isSame ? there : there.slice(-1));
    }
    [i, j] = [left + length, right + length];
  }
  const [rest, otherRest] = [sides[0].slice(i).flat(), sides[1].slice(j).flat()];
  add(parts.at(-1)?.kind === "different" ? "different" : "backtracked", rest, otherRest);
  const last = parts.at(-1);
  if (last && isPending(last.left, one) || last && isPending(last.right, other)) last.kind = "pending";
  return parts;
}

/** True if a completion runs and has no token of the last part yet. @param {Cell[]} cells @param {TokenTimeline} timeline */
function isPending(cells, { state }) {
  return !cells.length && state !== "ended" && state !== "failed";
}

/** For each token of the completion, it and the removed ones before it; then those after the last. @param {TokenTimeline} timeline */
function withRemoved({ cells, completion }) {
  /** @type {Cell[][]} */ const found = [];
  let from = 0;
  for (const { index } of completion) {
    found.push(cells.slice(from, index + 1));
    from = index + 1;
  }
  return [...found, cells.slice(from)];
}

/** @param {Cell[]} cells */
function idsOf(cells) {
  return cells.map(({ token_id: id }) => id).join();
}

/** The runs of equal tokens, without those that are equal by chance. @param {Cell[]} one @param {Cell[]} other */
function runsOf(one, other) {
  const [a, b] = [one, other].map((cells) => cells.map(({ token_id: id }) => id));
  const isEnd = (/** @type {Run} */ [i, j, length]) => i + length === a.length && j + length === b.length;
  return joined(equalRuns(a, b)).filter((run) => run[2] >= MIN_RUN || run[0] + run[1] === 0 || isEnd(run));
}

/** Join runs that touch. @param {Iterable<Run>} runs */
function joined(runs) {
  /** @type {Run[]} */ const found = [];
  for (const [i, j, length] of runs) {
    const last = found.at(-1);
    if (last && last[0] + last[2] === i && last[1] + last[2] === j) last[2] += length;
    else found.push([i, j, length]);
  }
  return found;
}

/** The equal tokens of a short edit script (Myers, "An O(ND) difference algorithm"), in order. @param {number[]} a @param {number[]} b @returns {Run[]} */
function equalRuns(a, b) {
  let place = slid(a, b, { x: 0, y: 0, path: null });
  while (place.x < a.length && place.y < b.length) place = searched(a, b, place);
  /** @type {Run[]} */ const runs = [];
  for (let path = place.path; path; path = path.before) runs.unshift(path.run);
  return runs;
}

/** The end, or the place to which `MAX_DIFFERENCES` lead. @param {number[]} a @param {number[]} b @param {Place} start @returns {Place} */
function searched(a, b, start) {
  /** @type {Map<number, Place>} Per diagonal, the farthest place. */ let farthest = new Map([[0, start]]);
  for (let d = 1; d <= MAX_DIFFERENCES; d++) {
    /** @type {typeof farthest} */ const next = new Map();
    for (let k = -d; k <= d; k += 2) {
      const [after, before] = [farthest.get(k - 1), farthest.get(k + 1)]; // a token of `a`, or of `b`, is skipped
      const places = [after && { ...after, x: after.x + 1 }, before && { ...before, y: before.y + 1 }];
      const valid = places.filter((place) => place && place.x <= a.length && place.y <= b.length);
      if (!valid.length) continue;
      const place = slid(a, b, /** @type {Place} */ (valid.reduce((one, other) => (one && other && other.x > one.x ? other : one))));
      if (place.x === a.length && place.y === b.length) return place;
      next.set(k, place);
    }
    farthest = next;
  }
  return best(farthest, start);
}

/** Where the search continues: after the last equal tokens, if there are any, and else as far in one as in the other. @param {Map<number, Place>} farthest @param {Place} start @returns {Place} */
function best(farthest, start) {
  const rated = [...farthest].map(([k, place]) => ({ place, rate: place.x + place.y - Math.abs(k) / (4 * MAX_DIFFERENCES) }));
  const { place } = rated.reduce((one, other) => (other.rate > one.rate ? other : one));
  if (!place.path) return place;
  const [x, y, length] = place.path.run;
  const isFar = x + y + 2 * length - start.x - start.y > MAX_DIFFERENCES / 2;
  return isFar ? { x: x + length, y: y + length, path: place.path } : place;
}

/** Follow the tokens that are equal from a place on. @param {number[]} a @param {number[]} b @param {Place} place @returns {Place} */
function slid(a, b, { x, y, path }) {
  let length = 0;
  while (x + length < a.length && y + length < b.length && a[x + length] === b[y + length]) length++;
  return length ? { x: x + length, y: y + length, path: { run: [x, y, length], before: path } } : { x, y, path };
}
