// Charts by uPlot in the colours of the page. Numbers here are pixels, never money. A chart follows the width of its place and the theme.

import uPlot from "../vendor/uPlot.esm.js";
import { h } from "./dom.js";

const HEIGHT = 240;
const drawn = new Set();

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A chart with its description for those who do not see it. `series` is [{label, values, kind}]; `x` are Unix seconds or plain numbers. */
export function chart(description, { x, series, isTime = true, yLabel = "", xLabel = "", yMax = null }) {
  const place = h("div", { class: "chart", role: "img", "aria-label": description });
  const draw = (width) => {
    entry.plot?.destroy();
    place.replaceChildren();
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const hasBars = series.some(({ kind }) => kind === "bars");
    const lines = series.map(({ label, kind }, i) => ({
      label,
      stroke: color(i ? "--accent-2" : "--accent"),
      fill: kind === "area" || kind === "bars" ? color(i ? "--accent-2-soft" : "--accent-soft") : undefined,
      width: kind === "bars" ? 1 : 2,
      points: { show: x.length < 40, size: 5, fill: color("--panel") },
      paths: kind === "bars" ? uPlot.paths.bars({ size: [0.7, 60] }) : kind === "steps" ? uPlot.paths.stepped({ align: 1 }) : undefined,
    }));
    entry.plot = new uPlot({
      width,
      height: HEIGHT,
      cursor: { drag: { x: false, y: false } },
      legend: { show: series.length > 1, live: false },
      scales: { x: { time: isTime, range: hasBars ? (_, low, high) => [low - 0.6, high + 0.6] : undefined }, y: hasBars ? { range: (_, low, high) => [0, yMax ?? high * 1.1] } : {} },
      axes: [{ ...axis, label: xLabel || undefined, labelSize: 20 }, { ...axis, size: 72, label: yLabel || undefined, labelSize: 20, values: (_, ticks) => ticks.map(tickText) }],
      series: [{}, ...lines],
    }, [x, ...series.map(({ values }) => values)], place);
  };
  const entry = { place, draw };
  sweep();
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width > 0 && width !== entry.width) {
      entry.width = width;
      drawn.add(entry);
      draw(width);
    }
  }).observe(place);
  return place;
}

function tickText(value) {
  if (value === null) return "";
  const size = Math.abs(value);
  if (size >= 1e15 || (size && size < 1e-6)) return value.toExponential(1);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)} M`;
  return String(+value.toPrecision(6));
}

// A chart listens to the window: one that has left the page must be told to stop.
function sweep() {
  for (const entry of drawn) {
    if (entry.place.isConnected) continue;
    entry.plot.destroy();
    drawn.delete(entry);
  }
}

/** Draw what is still on the page again, in the colours of now. */
export function redrawAll() {
  sweep();
  for (const entry of drawn) entry.draw(entry.width);
}
