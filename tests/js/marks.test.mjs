import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Window } from "happy-dom";
import { laneOf, linesOf, renew, untitled } from "../../static/js/marks.js";

let window;

before(() => {
  window = new Window();
  globalThis.document = window.document;
});

after(async () => {
  delete globalThis.document;
  await window.happyDOM.close();
});

const met = {
  alerts: [["critical", "critical: <b>Too many</b> errors, since 14:05"], ["more", "and 2 more"]],
  told: [[], [0, 1]],
};
const none = { alerts: [], told: [] };

/** Marks as the server draws them. */
function drawn(...kinds) {
  const place = window.document.createElement("div");
  const groups = kinds.map((kind) => `<g class="episode episode--${kind}"><title>${kind}</title><line x1="1%"></line></g>`);
  place.innerHTML = `<svg class="chart-marks">${groups.join("")}</svg>`;
  return place.firstElementChild;
}

test("a step tells what it met in the server's words, as text", () => {
  const lines = linesOf(met, 1);
  assert.deepEqual(lines.map((line) => line.textContent), ["critical: <b>Too many</b> errors, since 14:05", "and 2 more"]);
  assert.deepEqual(lines.map((line) => line.querySelector("i").className), ["sign critical", "sign more"]);
  assert.equal(lines[0].querySelector("b"), null);
});

test("a step without alerts, a step that is not there and a chart without any tell nothing", () => {
  assert.deepEqual(linesOf(met, 0), []);
  assert.deepEqual(linesOf(met, 7), []);
  assert.deepEqual(linesOf(none, 0), []);
});

test("only a chart with marks has room for them", () => {
  assert.equal(laneOf(none), 0);
  assert.ok(laneOf(met) > 0);
});

test("the box of the chart is the only one", () => {
  const marks = untitled(drawn("critical", "info"));
  assert.equal(marks.querySelectorAll("title").length, 0);
  assert.equal(marks.querySelectorAll(".episode").length, 2);
});

test("marks that did not change are not touched, those that did are replaced", () => {
  const marks = untitled(drawn("warning"));
  const first = marks.firstElementChild;
  renew(marks, drawn("warning"));
  assert.equal(marks.firstElementChild, first);
  renew(marks, drawn("critical", "warning"));
  assert.deepEqual([...marks.children].map((each) => each.getAttribute("class")), ["episode episode--critical", "episode episode--warning"]);
  assert.equal(marks.querySelector("title"), null);
  renew(marks, drawn());
  assert.equal(marks.children.length, 0);
});
