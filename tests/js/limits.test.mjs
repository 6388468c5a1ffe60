import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Window } from "happy-dom";
import { stand } from "../../static/js/limits.js";

let window;

before(() => {
  window = new Window();
});

after(async () => {
  await window.happyDOM.close();
});

/** Limits as the server draws them. */
function drawn(...places) {
  const frame = window.document.createElement("div");
  const lines = places.map((place) => `<svg class="limit limit--warning" y="${place}"><line x2="100%"></line><text>5 %</text></svg>`);
  frame.innerHTML = `<svg class="chart-limits">${lines.join("")}</svg>`;
  return frame.firstElementChild;
}

const each = (limits) => [...limits.querySelectorAll(".limit")];

test("a limit stands where its value is", () => {
  const limits = drawn("50.00%", "75.00%");
  stand(limits, [0.25, 0.3333333]);
  assert.deepEqual(each(limits).map((limit) => limit.getAttribute("y")), ["25.00%", "33.33%"]);
});

test("what lies beyond the scale is hidden, and comes back with another one", () => {
  const limits = drawn("50.00%", "75.00%", "90.00%", "95.00%");
  stand(limits, [-0.2, 1.4, Number.NEGATIVE_INFINITY]);
  assert.deepEqual(each(limits).map((limit) => limit.hasAttribute("hidden")), [true, true, true, true]);
  stand(limits, [0, 1, 0.5, 0.6]);
  assert.deepEqual(each(limits).map((limit) => limit.hasAttribute("hidden")), [false, false, false, false]);
});

test("a label near the top stands beneath its line", () => {
  const limits = drawn("50.00%");
  stand(limits, [0.02]);
  assert.equal(each(limits)[0].classList.contains("limit--top"), true);
  stand(limits, [0.5]);
  assert.equal(each(limits)[0].classList.contains("limit--top"), false);
});
