"use strict";
// Suggested links, grouped by the page that they are for, and the tray of those that are chosen or dismissed.

const CHUNK = 25; // groups that are made at once, as the reader comes near
const chosen = new Map(); // key of a suggestion -> the suggestion
const dismissed = new Map(); // likewise: not to be seen again
const VERDICTS = { chosen, dismissed };
let groups = [], shown = 0;

const keyOf = (suggestion) => `${report.documents.id[suggestion.from]}\n${suggestion.to === null ? suggestion.title : report.documents.id[suggestion.to]}`;
const targetOf = (suggestion) => (suggestion.to === null ? suggestion.title : titleOf(suggestion.to));

const UNCONNECTED = 1_000; // farther than any path of links

const ORDERS = {
  orphans: (group) => report.documents.orphan[group.from],
  edited: (group) => (report.documents.change[group.from] ? 1 : 0),
  nearest: () => 0,
  farthest: (group) => Math.max(...group.suggestions.map((one) => (one.to === null ? 0 : one.far || UNCONNECTED))),
};

function startLinks() {
  const byPage = new Map();
  for (const suggestion of report.suggestions) {
    if (!byPage.has(suggestion.from)) byPage.set(suggestion.from, { from: suggestion.from, suggestions: [] });
    byPage.get(suggestion.from).suggestions.push(suggestion);
  }
  groups = [...byPage.values()];
  for (const group of groups) group.best = Math.max(...group.suggestions.map((one) => one.score));
  $("links-count").textContent = say(report.suggestions.length < report.suggested ? "links_some" : "links_count", { links: report.suggestions.length, pages: groups.length, all: report.suggested });
  const known = new Map(report.suggestions.map((one) => [keyOf(one), one]));
  for (const [name, map] of Object.entries(VERDICTS)) {
    for (const key of remembered(name) || []) if (known.has(key)) map.set(key, known.get(key));
  }
  const orders = Object.keys(ORDERS).filter((name) => name === "nearest" || groups.some(ORDERS[name]));
  $("order").setAttribute("aria-label", say("order"));
  $("order").append(...orders.map((name, at) => make("label", {},
    make("input", { type: "radio", name: "order", value: name, checked: at === 0, onchange: () => showGroups(name) }),
    make("span", {}, say(`order_${name}`)))));
  $("order").hidden = orders.length < 2;
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) showMore(); }, { rootMargin: "900px" }).observe($("more"));
  showGroups(orders[0]);
  startTray();
}

function showGroups(order) {
  const first = ORDERS[order];
  groups.sort((a, b) => first(b) - first(a) || b.best - a.best || a.from - b.from);
  shown = 0;
  $("groups").replaceChildren();
  if (!groups.length) $("groups").append(make("p", { className: "empty" }, say("no_links")));
  showMore();
}

function showMore() {
  const next = groups.slice(shown, shown + CHUNK);
  shown += next.length;
  $("groups").append(...next.map(groupView));
}

function groupView(group) {
  const { documents } = report;
  const badges = [];
  if (documents.orphan[group.from]) badges.push(say("orphan"));
  if (documents.change[group.from]) badges.push(say(`is_${report.kinds[documents.change[group.from] - 1]}`));
  return make("article", { className: "group" },
    make("h2", {}, titleButton(group.from), ...badges.map((text) => make("span", { className: "badge" }, text))),
    ...group.suggestions.map(suggestionView));
}

function suggestionView(suggestion) {
  const key = keyOf(suggestion);
  const target = targetOf(suggestion);
  const box = make("input", {
    type: "checkbox", checked: chosen.has(key), "aria-label": say("choose", { from: titleOf(suggestion.from), to: target }),
    onchange: () => { put(chosen, suggestion, box.checked); put(dismissed, suggestion, false); look(); },
  });
  const not = make("button", { type: "button", className: "plain dismiss", "aria-label": say("dismiss_this", { from: titleOf(suggestion.from), to: target }),
    onclick: () => { put(dismissed, suggestion, !dismissed.has(key)); put(chosen, suggestion, false); box.checked = false; look(); } });
  const look = () => {
    view.classList.toggle("dismissed", dismissed.has(key));
    not.setAttribute("aria-pressed", dismissed.has(key));
    not.textContent = say(dismissed.has(key) ? "undo" : "dismiss");
  };
  const name = suggestion.to === null ? make("span", {}, target) : titleButton(suggestion.to);
  const view = make("div", { className: "suggestion" }, box,
    make("div", { className: "target" }, make("span", { className: "arrow", "aria-hidden": "true" }, "→"), name),
    factsView(suggestion, not));
  const [first, ...others] = suggestion.why;
  if (first) view.append(make("div", { className: "passages" }, ...pairView(first)));
  if (others.length) {
    const again = make("button", { type: "button", className: "plain again", onclick: () => {
      again.remove();
      view.querySelector(".passages").append(...others.flatMap(pairView));
    } }, say("more_passages", { n: others.length }));
    view.append(again);
  }
  look();
  return view;
}

function factsView({ to, score, far }, not) {
  const bar = make("i");
  bar.style.width = `${Math.round(Math.max(0, Math.min(1, score)) * 100)}%`;
  const distance = to === null ? say("red_link") : far ? say("apart", { n: far }) : say("unconnected");
  return make("div", { className: "facts" }, make("span", {}, distance),
    make("span", { className: "likeness", "aria-hidden": "true" }, bar),
    make("span", { title: say("likeness") }, score.toFixed(2)), not);
}

const pairView = ([here, there, phrase]) => [here, there].map((text) => make("blockquote", {}, ...marked(text, phrase)));

function put(map, suggestion, on) {
  if (on) map.set(keyOf(suggestion), suggestion);
  else map.delete(keyOf(suggestion));
  keepVerdicts();
  showTray();
}

function keepVerdicts() {
  for (const [name, map] of Object.entries(VERDICTS)) remember(name, [...map.keys()]);
}

// How a page is linked to in its notes' notation, from a page that may be of another project.
function linkTo(i, title, from) {
  if (!report.scrapbox) return title;
  const { project } = report.documents;
  if (i !== null && report.links[i]) return report.links[i];
  return i !== null && project[i] !== project[from] ? `[/${report.projects[project[i]]}/${title}]` : `[${title}]`;
}

const sourceLink = (one) => linkTo(one.from, titleOf(one.from), one.from);
const targetLink = (one) => linkTo(one.to, targetOf(one), one.from);
// A line in which nothing is notation.
const literal = (text) => text.replace(/\s+/g, " ").trim().replace(/\[/g, "［").replace(/\]/g, "］").replace(/`/g, "｀").replace(/#(?=\S)/g, "＃");

const NOTATIONS = {
  links: (all) => all.map((one) => `${sourceLink(one)}${report.scrapbox ? " " : " → "}${targetLink(one)}`).join("\n"),
  page: (all) => {
    const lines = [];
    let before = null;
    for (const one of [...all].sort((a, b) => a.from - b.from)) {
      if (one.from !== before) lines.push(sourceLink(one));
      before = one.from;
      lines.push(` ${targetLink(one)}`);
      for (const [here, there] of one.why.slice(0, 1)) lines.push(...[here, there].map((text) => `  > ${literal(text)}`));
    }
    return lines.join("\n");
  },
};

// A line of `related --choices`.
const verdictLine = (said, one) => [said, ...keyOf(one).split("\n")].join("\t");
NOTATIONS.choices = () => [
  ...[...chosen.values()].map((one) => verdictLine("accepted", one)),
  ...[...dismissed.values()].map((one) => verdictLine("dismissed", one)),
].join("\n");

const trayText = () => NOTATIONS[$("notation").value]([...chosen.values()]) + "\n";

function startTray() {
  $("tray").setAttribute("aria-label", say("tray"));
  $("notation").append(...Object.keys(NOTATIONS).map((name) => make("option", { value: name }, say(`as_${name}${report.scrapbox || name === "choices" ? "" : "_plain"}`))));
  $("notation").setAttribute("aria-label", say("notation"));
  $("notation").onchange = showTray;
  $("copy").onclick = copy;
  $("save").onclick = save;
  $("clear").onclick = () => {
    for (const map of Object.values(VERDICTS)) map.clear();
    keepVerdicts();
    const order = document.querySelector("#order input:checked");
    showGroups(order ? order.value : "nearest");
    showTray();
    $("links").focus();
  };
  for (const name of ["copy", "save", "clear"]) $(name).textContent = say(name);
  $("preview").firstChild.textContent = say("preview");
  $("text").setAttribute("aria-label", say("preview"));
  $("hint").textContent = say("choices_hint");
  showTray();
}

function showTray() {
  $("tray").hidden = !chosen.size && !dismissed.size;
  $("chosen").textContent = [say("chosen", { n: chosen.size }), ...(dismissed.size ? [say("dismissed", { n: dismissed.size })] : [])].join(" · ");
  $("text").value = $("tray").hidden ? "" : trayText();
  $("hint").hidden = $("notation").value !== "choices";
  $("copy").textContent = say("copy");
}

async function copy() {
  const text = trayText();
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not allowed here: as browsers did before
    $("preview").open = true;
    $("text").select();
    if (!document.execCommand("copy")) return announce(say("copy_by_hand"));
  }
  $("copy").textContent = say("copied");
  announce(say("copied"));
}

function save() {
  const address = URL.createObjectURL(new Blob([trayText()], { type: "text/plain" }));
  make("a", { href: address, download: $("notation").value === "choices" ? "choices.tsv" : "links.txt" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
