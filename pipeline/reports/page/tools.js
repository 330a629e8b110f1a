"use strict";
// What all parts of the page share. Texts of notes become text nodes, never markup.

const $ = (id) => document.getElementById(id);
let report, words, language;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A word of the interface; where it has forms for one and for more, `n` decides.
function say(key, values = {}) {
  let text = words[key];
  if (Array.isArray(text)) text = text[new Intl.PluralRules(language).select(values.n) === "one" ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value;
  });
}

const number = (value) => value.toLocaleString(language);
const day = (seconds) => new Date(seconds * 1000).toLocaleDateString(language, { dateStyle: "medium", timeZone: "UTC" });
const time = (iso) => new Date(iso).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
const share = (part, whole) => (whole ? part / whole : 0).toLocaleString(language, { style: "percent", maximumFractionDigits: 1 });
const plain = (text) => text.normalize("NFKC").toLowerCase();
// How Scrapbox takes two names for one.
const normal = (title) => title.replace(/ /g, "_").toLowerCase();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const titleOf = (i) => report.documents.title[i];

// What is in a block of the page: compressed JSON in base64.
async function unpacked(id) {
  const text = atob($(id).textContent);
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Texts are in blocks of their own, each unpacked when a page of it is read.
const blocks = new Map();
async function textOf(i) {
  const block = Math.floor(i / report.block);
  if (!blocks.has(block)) blocks.set(block, unpacked(`texts-${block}`));
  return (await blocks.get(block))[i % report.block];
}

function announce(text) {
  $("said").textContent = text;
}

function remember(key, value) {
  try {
    localStorage.setItem(`corpusvec:${report.snapshot.id}:${key}`, JSON.stringify(value));
  } catch { /* a browser that keeps nothing for files */ }
}

function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`corpusvec:${report.snapshot.id}:${key}`));
  } catch {
    return null;
  }
}

function titleButton(i, text = titleOf(i), open = openSheet) {
  return make("button", { type: "button", className: "title", onclick: () => open(i) }, text);
}

// The text with the shared phrase marked.
function marked(text, phrase) {
  if (!phrase) return [text];
  const parts = [];
  const [low, wanted] = [text.toLowerCase(), phrase.toLowerCase()];
  let from = 0;
  // Lower case may have another length; then nothing is marked rather than something else.
  for (let at = low.length === text.length ? low.indexOf(wanted) : -1; at >= 0; at = low.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), make("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}

const BRACKETS = /\[\[([^[\]\n]+)\]\]|\[([^[\]\n]+)\]/g;
const NOTATION = [
  [/^(?:https?:\/\/|javascript:)\S+$/i, (found) => make("span", { className: "quiet" }, `⟨${found[0].replace(/^\w+:\/*/, "").split(/[/?]/)[0]}⟩`)],
  [/^https?:\/\/\S+\s+(.+)$/i, (found) => found[1]],
  [/^(.+)\s+https?:\/\/\S+$/i, (found) => found[1]],
  [/\.icon(?:\*\d+)?$/, () => ""],
  [/^[*!"#%&'()+,\-./{|}<>_~]+ (.+)$/, (found) => found[1]],
];

// A text whose links to pages of this report can be followed, and whose notation is as in Scrapbox.
function linked(text, open) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(BRACKETS)) {
    const name = match[1] || match[2];
    const target = match[1] ? undefined : report.byTitle.get(normal(name));
    let part = match[0];
    if (target !== undefined) part = titleButton(target, name, open);
    else if (report.scrapbox) {
      const rule = NOTATION.map(([pattern, show]) => [name.match(pattern), show]).find(([found]) => found);
      part = match[1] || (rule ? rule[1](rule[0]) : make("span", { className: "red" }, name));
    }
    parts.push(text.slice(from, match.index), part);
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

async function fillText(view, i, open) {
  let text = await textOf(i);
  const cut = [...text].length < report.documents.length[i]; // counted in code points
  if (text.startsWith(`${titleOf(i)}\n`)) text = text.slice(titleOf(i).length + 1); // it is shown already
  view.replaceChildren(...linked(text, open), cut ? `… ${say("cut")}` : "");
}

// A page with its text and its nearest others; `open` is told which of them is chosen.
function pageView(i, open) {
  const { documents } = report;
  const about = [];
  if (report.projects.length > 1) about.push(report.projects[documents.project[i]]);
  if (documents.updated[i]) about.push(say("updated", { day: day(documents.updated[i]) }));
  about.push(say("characters_of", { n: documents.length[i] }));
  const text = make("div", { className: "text" });
  fillText(text, i, open);
  const near = report.near[i].map(([other, likeness]) =>
    make("li", {}, titleButton(other, titleOf(other), open), make("span", { className: "quiet" }, likeness.toFixed(2))));
  const address = report.scrapbox && `https://scrapbox.io/${[report.projects[documents.project[i]], titleOf(i)].map(encodeURIComponent).join("/")}`;
  return make("div", { className: "page" },
    make("h2", { tabIndex: -1 }, titleOf(i)),
    make("p", { className: "quiet" }, about.join(" · "), address ? " · " : "",
      address ? make("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, say("open_there")) : ""),
    text,
    make("h3", {}, say("related")),
    near.length ? make("ul", {}, ...near) : make("p", { className: "quiet" }, say("nothing_related")));
}

function openSheet(i) {
  const body = $("sheet-body");
  const bar = make("div", { className: "back" },
    make("button", { type: "button", className: "plain", onclick: () => { $("sheet").close(); showOnMap(i); } }, say("show_on_map")),
    make("button", { type: "button", className: "plain", onclick: () => $("sheet").close() }, say("close")));
  const view = pageView(i, openSheet);
  view.prepend(bar);
  body.replaceChildren(view);
  $("sheet").setAttribute("aria-label", titleOf(i));
  if (!$("sheet").open) $("sheet").showModal();
  $("sheet").scrollTop = 0;
  view.querySelector("h2").focus();
}
