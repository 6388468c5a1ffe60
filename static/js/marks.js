// The alerts along a chart's time axis. The server draws them, as an SVG that stays beside the canvas; here it is kept
// fresh, and what each step met is put into words that the server wrote.

/**
 * @typedef {object} Met  what cockpit/dashboard/marks.py writes into a chart's plot
 * @property {[kind: string, words: string][]} alerts  lines
 * @property {number[][]} told  of each step, which of the lines tell what it met; empty where there are none at all
 */

const LANE = 7; // pixels that marks need between the plot and the words of its axis

/**
 * The room under the plot: more where marks stand in it.
 * @param {Met} met
 */
export function laneOf(met) {
  return met.told.length ? LANE : 0;
}

/**
 * The marks of a chart that says by itself what they are: a second box would cover the first.
 * @template {Element} T
 * @param {T} marks
 */
export function untitled(marks) {
  for (const title of marks.querySelectorAll("title")) title.remove();
  return marks;
}

/**
 * Brings marks up to date, and touches them only when they changed.
 * @param {Element} marks
 * @param {Element} fresh  as the server drew them now
 */
export function renew(marks, fresh) {
  if (marks.innerHTML !== untitled(fresh).innerHTML) marks.replaceChildren(...fresh.childNodes);
}

/**
 * What a step met, one line each, the worst first.
 * @param {Met} met
 * @param {number} at
 */
export function linesOf(met, at) {
  return (met.told[at] ?? []).map((number) => {
    const [kind, words] = met.alerts[number] ?? ["more", ""];
    const line = document.createElement("span");
    const sign = document.createElement("i");
    const text = document.createElement("span");
    line.className = "tip-mark";
    sign.className = `sign ${kind}`;
    text.textContent = words;
    line.append(sign, text);
    return line;
  });
}
