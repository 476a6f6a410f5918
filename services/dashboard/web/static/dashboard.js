// What pages do in the browser beside htmx: the clock and countdowns run, figures become plots.
"use strict";

const root = document.documentElement;
const began = performance.now();

// Business time now, in ms: it may run faster than the wall's, or stand still.
function now() {
  return Number(root.dataset.now) + (performance.now() - began) * Number(root.dataset.rate);
}

function lasting(ms) {
  const units = [["d", 86400000, "h", 3600000], ["h", 3600000, "min", 60000], ["min", 60000, "s", 1000]];
  for (const [unit, size, below, part] of units) {
    if (ms >= size) {
      const rest = Math.floor((ms % size) / part);
      return `${Math.floor(ms / size)} ${unit}` + (rest ? ` ${rest} ${below}` : "");
    }
  }
  return `${Math.floor(ms / 1000)} s`;
}

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

function instant(ms) {
  const at = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${at.getUTCDate()} ${months[at.getUTCMonth()]} ${at.getUTCFullYear()}`
    + ` ${two(at.getUTCHours())}:${two(at.getUTCMinutes())} UTC`;
}

function tick() {
  const at = now();
  for (const each of document.querySelectorAll("time[data-due]")) {
    const away = Number(each.dataset.due) - at;
    const text = away >= 0 ? `in ${lasting(away)}` : `${lasting(-away)} ago`;
    if (each.textContent !== text) each.textContent = text;
  }
  const clock = document.getElementById("clock");
  if (clock) clock.textContent = instant(at);
}

// A plot is made of the table beside it, which is there without it, too; its legend is another.
function series(figure) {
  const rows = [...figure.querySelectorAll("details tbody tr")];
  const names = [...figure.querySelectorAll("details thead th.n")].map((each) => each.textContent);
  const xs = rows.map((row) => Number(row.querySelector("[data-x]").dataset.x));
  const columns = names.map((_, n) => rows.map((row) => Number(row.querySelectorAll("td.n")[n].textContent)));
  return { names, data: [xs, ...columns] };
}

function color(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function draw(figure) {
  const canvas = figure.querySelector(".canvas");
  const { names, data } = series(figure);
  if (figure.uplot) {
    figure.uplot.setData(data);
    return;
  }
  if (!data[0].length) return;
  canvas.replaceChildren();
  const colors = ["--accent", "--good", "--bad"].map(color);
  const two = (n) => String(n).padStart(2, "0");
  const hours = (_, splits) => splits.map((s) => {
    const at = new Date(s * 1000);
    const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
    return time === "00:00" ? `${at.getUTCDate()} ${months[at.getUTCMonth()]}` : time;
  });
  const axis = { stroke: color("--faint"), grid: { stroke: color("--line"), width: 1 } };
  const points = figure.dataset.kind === "lateness";
  const options = {
    width: canvas.parentElement.clientWidth - 26,
    height: 220,
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.05] } },
    axes: [{ ...axis, values: hours }, { ...axis, size: 55 }],
    series: [{ label: "Time", value: (_, s) => (s === null ? "–" : instant(s * 1000)) }, ...names.map((label, n) => ({
      label,
      value: (_, shown) => shown ?? "–",
      stroke: colors[n],
      width: points ? 0 : 2,
      points: { show: points, size: 5, fill: colors[n] },
    }))],
  };
  figure.uplot = new uPlot(options, data, canvas);
}

function plots() {
  if (!window.uPlot) return;
  for (const figure of document.querySelectorAll("figure.plot")) draw(figure);
}

function again() {
  for (const figure of document.querySelectorAll("figure.plot")) {
    if (figure.uplot) figure.uplot.destroy();
    figure.uplot = undefined;
  }
  plots();
}

let resizing;
window.addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(again, 200);
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
document.addEventListener("htmx:after:swap", plots);

// While the stream is cut, or a page's news can not be had, the page says so.
function cut(is) {
  const said = document.getElementById("cut");
  if (said) said.hidden = !is;
}

document.addEventListener("htmx:sse:error", () => cut(true));
document.addEventListener("htmx:sse:after:connection", () => cut(false));
document.addEventListener("htmx:after:request", (event) => {
  const { sourceElement, response } = event.detail.ctx;
  if (sourceElement.id === "content") cut(!response.raw.ok);
});
setInterval(tick, 1000);
tick();
plots();
