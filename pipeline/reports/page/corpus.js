"use strict";
// What the corpus is, and what changed since the snapshot before.

const LISTED = 12; // rows of a list until the reader asks for all of them

function part(title, ...children) {
  return make("div", { className: "part" }, make("h2", {}, title), ...children);
}

// A list whose rows beyond the first few wait for a button.
function list(rows, none) {
  if (!rows.length) return make("p", { className: "none" }, none);
  const view = make("ul", { className: "list" }, ...rows.slice(0, LISTED).map((row) => row()));
  const rest = rows.slice(LISTED);
  if (!rest.length) return view;
  const button = make("button", { type: "button", className: "plain", onclick: () => {
    view.append(...rest.map((row) => row()));
    button.remove();
  } }, say("all_of_them", { n: rows.length }));
  return make("div", {}, view, button);
}

const row = (name, value) => () => make("li", {}, name, make("span", { className: "quiet" }, value));
const pageOrId = (i, id) => (i === null ? make("span", {}, id) : titleButton(i));

function figure(key, value, small = "") {
  return make("div", {}, make("dt", {}, say(key)), make("dd", {}, value, make("small", {}, small)));
}

function startCorpus() {
  const { facts } = report;
  const n = facts.documents;
  const figures = [
    figure("documents", number(n), report.projects.length > 1 ? say("projects", { n: report.projects.length }) : ""),
    figure("characters", number(facts.characters), say("on_average", { n: Math.round(facts.characters / n) })),
    figure("tokens", number(facts.tokens), say("windows", { n: facts.windows })),
  ];
  if (facts.links) figures.push(figure("link_count", number(facts.links.links), say("orphans_count", { n: facts.links.orphans })));
  if (facts.tokens) figures.push(figure("unknown", share(facts.unknown, facts.tokens), say("unknown_count", { n: facts.unknown })));
  figures.push(figure("rejected", number(facts.rejected), say("empty_count", { n: facts.empty })));
  const least = (row) => Math.max(...row.map(([, value]) => value), 1);
  const bars = (rows, name) => rows.map(([key, value]) => {
    const bar = make("i");
    bar.style.width = `${(100 * value) / least(rows)}%`;
    return make("div", { className: "row" }, make("span", {}, name(key)), make("span", { className: "track" }, bar),
      make("span", { className: "quiet" }, number(value)));
  });
  const parts = [
    part(say("lengths"), ...histogram(facts.lengths)),
    part(say("languages"), ...bars(facts.languages, (key) => say(`script_${key}`))),
  ];
  if (facts.projects.length > 1) parts.push(part(say("sources"), ...bars(facts.projects, (name) => name)));
  parts.push(
    part(say("truncated"), list(facts.truncated.map(([i, dropped]) => row(titleButton(i), say("tokens_dropped", { n: dropped }))), say("none_truncated"))),
    part(say("rejected_list"), list(facts.rejected_list.map(([id, error]) => row(id, error)), say("none_rejected"))),
    part(say("unknown_list"), list(facts.unknown_list.map(([i, part]) => row(titleButton(i), share(part, 1))), say("none_unknown"))),
    part(say("duplicates"), list(facts.duplicates.map((same) => () => make("li", {}, make("span", {}, ...same.flatMap((i, at) => [at ? " = " : "", titleButton(i)])))), say("none_duplicate"))),
  );
  const made = Object.entries(report.made).flatMap(([key, value]) => [make("dt", {}, say(`made_${key}`)), make("dd", {}, key === "finished" ? time(value) : value)]);
  const about = part(say("made"), make("dl", { className: "made" }, ...made));
  about.classList.add("wide");
  $("corpus").append(make("dl", { className: "numbers" }, ...figures), make("div", { className: "parts" }, ...parts, about));
}

function histogram({ edges, counts }) {
  const most = Math.max(...counts, 1);
  const bars = counts.map((count, at) => {
    const bar = make("i", { title: say("length_bar", { from: edges[at], to: edges[at + 1] - 1, n: count }) });
    bar.style.height = `${(100 * count) / most}%`;
    return bar;
  });
  const middle = edges[edges.length >> 1];
  return [
    make("div", { className: "bars", role: "img", "aria-label": say("lengths_image", { from: edges[0], to: edges.at(-1) }) }, ...bars),
    make("div", { className: "axis" }, ...[edges[0], middle, edges.at(-1)].map((edge) => make("span", {}, number(edge)))),
    make("p", { className: "none" }, say("characters_axis")),
  ];
}

function startChanges() {
  const { changes } = report;
  if (!changes) return $("changes").append(make("p", { className: "empty" }, say("first_snapshot")));
  const figures = report.kinds.map((kind) => figure(`changed_${kind}`, number(changes.counts[kind])));
  const parts = report.kinds.filter((kind) => changes.counts[kind]).map((kind) =>
    part(say(`changed_${kind}`), list(changes.lists[kind].map(([i, id, old]) => row(pageOrId(i, id), old ? say("moved_from", { id: old }) : "")), "")));
  $("changes").append(make("p", { className: "quiet lists" }, say("since", { id: changes.before })),
    make("dl", { className: "numbers" }, ...figures),
    parts.length ? make("div", { className: "parts" }, ...parts) : make("p", { className: "empty" }, say("nothing_changed")));
}
