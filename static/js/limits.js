// The thresholds of rules across a chart. The server draws them for its own scale, as an SVG that stays over the canvas;
// here they are moved to where the scale in use has them.

const NEAR_TOP = 0.1; // of the height: from there on a label stands beneath its line

/**
 * @param {Element} limits  as the server drew them
 * @param {number[]} places  of each, as a share of the height from the top; what is not within it is not shown
 */
export function stand(limits, places) {
  [...limits.querySelectorAll(".limit")].forEach((limit, at) => {
    const place = places[at] ?? -1;
    const inside = place >= -1e-6 && place <= 1 + 1e-6;
    limit.toggleAttribute("hidden", !inside);
    if (!inside) return;
    limit.setAttribute("y", `${(100 * place).toFixed(2)}%`);
    limit.classList.toggle("limit--top", place < NEAR_TOP);
  });
}
