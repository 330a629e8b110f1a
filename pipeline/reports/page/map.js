"use strict";
// The map: a canvas of dots. `view` says which part of the unit square is seen; a dot's place is
// view.x + x * view.scale.

const COLOURS = 12;
const view = { x: 0, y: 0, scale: 1, fit: 1 };
let canvas, pen, selected = null, hovered = null, kept = null, colourBy = "cluster", hits = null;
const pointers = new Map();

function startMap() {
  canvas = $("canvas");
  pen = canvas.getContext("2d");
  canvas.setAttribute("aria-label", say("map_of", { n: report.documents.id.length, how: report.map }));
  $("keys").textContent = say("map_keys");
  for (const [id, act] of [["closer", () => zoom(1.6)], ["wider", () => zoom(1 / 1.6)], ["all", fit]]) {
    $(id).setAttribute("aria-label", say(id));
    $(id).title = say(id);
    $(id).onclick = act;
  }
  new ResizeObserver(resize).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.onpointerdown = press;
  canvas.onpointermove = move;
  canvas.onpointerup = release;
  canvas.onpointercancel = (event) => pointers.delete(event.pointerId);
  canvas.onpointerleave = () => hover(null);
  canvas.onkeydown = key;
  showSide();
}

const colourOf = (i) => (colourBy === "source" ? report.documents.project[i] : report.documents.cluster[i]);
const nameOf = (group) => (colourBy === "source" ? report.projects[group] : report.clusters[group].join(" · ") || say("group", { n: group + 1 }));
const placeOf = (i) => [view.x + report.documents.x[i] * view.scale, view.y + report.documents.y[i] * view.scale];
const faded = (i) => (kept !== null && colourOf(i) !== kept) || (hits !== null && !hits.has(i));

function resize() {
  const { width, height } = canvas.getBoundingClientRect();
  if (!width) return; // its tab is not shown
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  const whole = view.scale === view.fit;
  if (whole) fit();
  else draw();
}

function fit() {
  const { width, height } = canvas.getBoundingClientRect();
  // The map is a square at most: of a long one the empty sides are not shown.
  const { x, y } = report.documents;
  const [left, right] = [Math.min(...x), Math.max(...x)];
  const [top, bottom] = [Math.min(...y), Math.max(...y)];
  view.fit = view.scale = Math.min((width - 80) / (right - left || 1), (height - 80) / (bottom - top || 1));
  view.x = width / 2 - ((left + right) / 2) * view.scale;
  view.y = height / 2 - ((top + bottom) / 2) * view.scale;
  draw();
}

function zoom(factor, x, y) {
  const { width, height } = canvas.getBoundingClientRect();
  if (x === undefined) [x, y] = selected === null ? [width / 2, height / 2] : placeOf(selected);
  const scale = Math.max(view.fit * 0.6, Math.min(view.fit * 60, view.scale * factor));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  draw();
}

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
}

function paint() {
  const [width, height] = [canvas.width / devicePixelRatio, canvas.height / devicePixelRatio];
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const count = report.documents.id.length;
  const radius = Math.max(1.6, Math.min(7, (60 / Math.sqrt(count)) * Math.sqrt(view.scale / view.fit) + 1.4));
  const layers = new Map();
  const seen = [];
  for (let i = 0; i < count; i++) {
    const [x, y] = placeOf(i);
    if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
    const layer = faded(i) ? "faded" : colourOf(i) % COLOURS;
    if (layer !== "faded") seen.push(i);
    if (!layers.has(layer)) layers.set(layer, new Path2D());
    const path = layers.get(layer);
    path.moveTo(x + radius, y);
    path.arc(x, y, radius, 0, 2 * Math.PI);
  }
  for (const [layer, path] of [...layers].sort(([a]) => (a === "faded" ? -1 : 1))) {
    pen.globalAlpha = layer === "faded" ? 0.14 : 0.82;
    pen.fillStyle = css(layer === "faded" ? "--quiet" : `--c${layer}`);
    pen.fill(path);
  }
  pen.globalAlpha = 1;
  paintSelected(radius);
  paintNames(seen, radius, width);
}

// Groups by their words from afar, pages by their titles from near; of a page that is selected its
// own title and those of its related pages.
function paintNames(seen, radius, width) {
  const taken = [];
  const few = selected === null ? seen : [selected, ...report.near[selected].map(([other]) => other)];
  const near = selected !== null || seen.length <= 30 || (seen.length <= 60 && view.scale > view.fit * 1.5);
  const names = near ? few.map((i) => [titleOf(i), ...placeOf(i), i === selected]) : groupNames(seen);
  for (const [text, x, y, strong] of names) {
    pen.font = fontOf(strong);
    const name = text.length > 26 ? `${text.slice(0, 25)}…` : text;
    const size = pen.measureText(name).width;
    const beside = x + radius + 5 + size > width ? x - radius - 5 - size : x + radius + 5;
    const left = near ? beside : Math.max(6, Math.min(width - size - 6, x - size / 2));
    const box = [left, y - 9, left + size, y + 9];
    if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
    taken.push(box);
    paintName(name, left, y, strong);
  }
}

const fontOf = (strong) => `${strong ? 600 : 400} 13px ${css("--sans")}`;

function groupNames(seen) {
  const middles = new Map();
  for (const i of seen) {
    if (!middles.has(colourOf(i))) middles.set(colourOf(i), []);
    middles.get(colourOf(i)).push(placeOf(i));
  }
  const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  return [...middles].filter(([, places]) => places.length > 2).sort((a, b) => b[1].length - a[1].length)
    .map(([group, places]) => [
      colourBy === "source" ? nameOf(group) : report.clusters[group].slice(0, 2).join(" · "),
      middle(places.map(([x]) => x)), middle(places.map(([, y]) => y)), true,
    ]).filter(([text]) => text);
}

function paintSelected(radius) {
  if (selected !== null) {
    const [x, y] = placeOf(selected);
    pen.strokeStyle = css("--ink");
    pen.lineWidth = 1;
    pen.globalAlpha = 0.45;
    for (const [other] of report.near[selected]) {
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(...placeOf(other));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
  for (const i of new Set([selected, hovered])) {
    if (i === null) continue;
    const [x, y] = placeOf(i);
    pen.beginPath();
    pen.arc(x, y, radius + 3, 0, 2 * Math.PI);
    pen.fillStyle = css(`--c${colourOf(i) % COLOURS}`);
    pen.fill();
    pen.lineWidth = 2;
    pen.strokeStyle = css("--ink");
    pen.stroke();
  }
}

function paintName(name, x, y, strong) {
  pen.font = fontOf(strong);
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = 4;
  pen.strokeStyle = css("--raised");
  pen.strokeText(name, x, y);
  pen.fillStyle = css("--ink");
  pen.fillText(name, x, y);
}

function nearest(x, y, most) {
  let [found, best] = [null, most * most];
  for (let i = 0; i < report.documents.id.length; i++) {
    const [px, py] = placeOf(i);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < best && !faded(i)) [found, best] = [i, distance];
  }
  return found;
}

function hover(i) {
  if (i === hovered) return;
  hovered = i;
  canvas.classList.toggle("over", i !== null);
  $("tip").hidden = i === null;
  if (i !== null) {
    $("tip").textContent = titleOf(i);
    const [x, y] = placeOf(i);
    const { width } = canvas.getBoundingClientRect();
    $("tip").style.transform = `translate(${Math.max(4, Math.min(x + 12, width - $("tip").offsetWidth - 6))}px, ${y < 46 ? y + 14 : y - 38}px)`;
  }
  draw();
}

let travelled = 0;
function press(event) {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  travelled = 0;
}

function move(event) {
  const before = pointers.get(event.pointerId);
  const here = [event.offsetX, event.offsetY];
  if (!before) return hover(nearest(...here, 14));
  const [dx, dy] = [here[0] - before[0], here[1] - before[1]];
  travelled += Math.abs(dx) + Math.abs(dy);
  if (travelled < 5) return;
  hover(null);
  canvas.classList.add("held");
  pointers.set(event.pointerId, here);
  if (pointers.size === 2) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    zoom(Math.hypot(here[0] - other[0], here[1] - other[1]) / (Math.hypot(before[0] - other[0], before[1] - other[1]) || 1), ...other);
  } else {
    view.x += dx;
    view.y += dy;
    draw();
  }
}

function release(event) {
  pointers.delete(event.pointerId);
  canvas.classList.remove("held");
  if (travelled < 5) select(nearest(event.offsetX, event.offsetY, 16));
}

function key(event) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (direction && event.shiftKey) {
    view.x -= direction[0] * 60;
    view.y -= direction[1] * 60;
    draw();
  } else if (direction) select(neighbourAt(direction));
  else if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") fit();
  else if (event.key === "Escape") select(null);
  else if (event.key === "Enter" && selected !== null) $("side").querySelector("h2").focus();
  else return;
  event.preventDefault();
}

// The dot to which an arrow key leads: near, and rather in its direction than aside.
function neighbourAt([dx, dy]) {
  const { width, height } = canvas.getBoundingClientRect();
  if (selected === null) return nearest(width / 2, height / 2, Infinity);
  const [x, y] = placeOf(selected);
  let [found, best] = [selected, Infinity];
  for (let i = 0; i < report.documents.id.length; i++) {
    if (i === selected || faded(i)) continue;
    const [px, py] = placeOf(i);
    const [ahead, aside] = [(px - x) * dx + (py - y) * dy, Math.abs((px - x) * dy) + Math.abs((py - y) * dx)];
    if (ahead > 0 && ahead >= aside && ahead + 2 * aside < best) [found, best] = [i, ahead + 2 * aside];
  }
  return found;
}

function select(i) {
  selected = i;
  if (i !== null) {
    const { width, height } = canvas.getBoundingClientRect();
    const [x, y] = placeOf(i);
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) {
      view.x += width / 2 - x;
      view.y += height / 2 - y;
    }
    announce(titleOf(i));
  }
  showSide();
  draw();
}

function showOnMap(i) {
  showTab("map");
  kept = null;
  resize();
  select(i);
  canvas.focus();
}

// `focus` is the group whose button keeps the keyboard.
function showSide(focus = null) {
  if (selected !== null) {
    const page = pageView(selected, (i) => { select(i); $("side").querySelector("h2").focus(); });
    page.prepend(make("div", { className: "back" },
      make("button", { type: "button", className: "plain", onclick: () => { select(null); canvas.focus(); } }, say("all_groups"))));
    $("side").replaceChildren(page);
    $("side").scrollTop = 0;
    return;
  }
  const head = make("div", { className: "side-head" }, make("span", { className: "quiet" }, say("groups_head")));
  if (report.projects.length > 1) {
    head.append(make("select", { "aria-label": say("colour_by"), onchange: (event) => { colourBy = event.target.value; kept = null; showSide(); draw(); } },
      ...["cluster", "source"].map((name) => make("option", { value: name, selected: name === colourBy }, say(`by_${name}`)))));
  }
  const sizes = new Map();
  for (let i = 0; i < report.documents.id.length; i++) sizes.set(colourOf(i), (sizes.get(colourOf(i)) || 0) + 1);
  $("side").replaceChildren(head, ...[...sizes].sort((a, b) => b[1] - a[1]).map(([group, size]) => {
    const dot = make("span", { className: "dot", "aria-hidden": "true" });
    dot.style.background = `var(--c${group % COLOURS})`;
    return make("button", { type: "button", className: "cluster", "data-group": group, "aria-pressed": String(kept === group),
      onclick: () => { kept = kept === group ? null : group; showSide(group); draw(); } },
    dot, make("span", {}, nameOf(group)), make("span", { className: "quiet" }, number(size)));
  }));
  if (focus !== null) $("side").querySelector(`[data-group="${focus}"]`).focus();
}
