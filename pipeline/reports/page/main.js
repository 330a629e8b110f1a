"use strict";
// The beginning: the report is unpacked, then its parts are shown. Tabs and the search box are here.

const TABS = ["links", "map", "corpus", "changes"];
const MOST_FOUND = 60;
const started = new Set();

async function start() {
  report = await unpacked("data");
  language = document.documentElement.lang;
  if (!(language in report.words)) {
    const wanted = navigator.languages.map((name) => name.slice(0, 2));
    language = wanted.find((name) => name in report.words) || "en";
    document.documentElement.lang = language;
  }
  words = report.words[language];
  report.byTitle = new Map(report.documents.title.map((title, i) => [normal(title), i]));
  report.plain = report.documents.title.map(plain);
  const { documents, total } = report;
  $("about").textContent = [say("pages", { n: total }), say("as_of", { time: time(report.made.finished) })].join(" · ");
  if (documents.id.length < total) {
    $("notice").textContent = say("sampled", { n: documents.id.length, total });
    $("notice").hidden = false;
  }
  startTabs();
  startSearch();
  startLinks();
}

const START = { links: () => {}, map: startMap, corpus: startCorpus, changes: startChanges };

function startTabs() {
  const { facts, changes } = report;
  const counts = { links: report.suggestions.length, map: null, corpus: null, changes: changes ? report.kinds.reduce((sum, kind) => sum + changes.counts[kind], 0) : null };
  $("tabs").setAttribute("aria-label", say("parts"));
  $("tabs").append(...TABS.map((name) => make("button", {
    type: "button", id: `tab-${name}`, role: "tab", "aria-controls": name, onclick: () => showTab(name),
  }, say(`tab_${name}`), counts[name] === null ? "" : make("span", { className: "count" }, number(counts[name])))));
  $("tabs").onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = TABS.findIndex((name) => $(`tab-${name}`).getAttribute("aria-selected") === "true");
    const next = TABS[(at + step + TABS.length) % TABS.length];
    showTab(next);
    $(`tab-${next}`).focus();
    event.preventDefault();
  };
  for (const name of TABS) $(name).setAttribute("aria-labelledby", `tab-${name}`);
  $("sheet").addEventListener("click", (event) => { if (event.target === $("sheet")) $("sheet").close(); });
  addEventListener("hashchange", () => showTab(location.hash.slice(1)));
  showTab(location.hash.slice(1));
}

function showTab(asked) {
  const chosenTab = TABS.includes(asked) ? asked : "links";
  for (const name of TABS) {
    $(name).hidden = name !== chosenTab;
    const tab = $(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === chosenTab));
    tab.tabIndex = name === chosenTab ? 0 : -1;
  }
  if (!started.has(chosenTab)) {
    started.add(chosenTab);
    START[chosenTab]();
  }
  history.replaceState(null, "", `#${chosenTab}`);
}

function startSearch() {
  const [box, results] = [$("search"), $("found")];
  let active = -1;
  box.placeholder = say("search");
  box.setAttribute("aria-label", say("search"));
  results.setAttribute("aria-label", say("found"));
  const close = () => {
    results.hidden = true;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  };
  const open = (i) => {
    close();
    if ($("map").hidden) openSheet(i);
    else select(i);
  };
  const activate = (at) => {
    const options = [...results.querySelectorAll("[role=option]")];
    if (!options.length) return;
    active = (at + options.length) % options.length;
    options.forEach((option, n) => option.setAttribute("aria-selected", String(n === active)));
    options[active].scrollIntoView({ block: "nearest" });
    box.setAttribute("aria-activedescendant", options[active].id);
  };
  const show = () => {
    const terms = plain(box.value).split(/\s+/).filter(Boolean);
    const all = terms.length ? found(terms) : [];
    hits = terms.length ? new Set(all) : null;
    if (started.has("map")) draw();
    if (!terms.length) return close();
    active = -1;
    results.replaceChildren(...all.slice(0, MOST_FOUND).map((i, n) => make("li", {
      id: `found-${n}`, role: "option", "aria-selected": "false", onmousedown: (event) => { event.preventDefault(); open(i); },
    }, titleOf(i))));
    const more = all.length - MOST_FOUND;
    if (!all.length || more > 0) results.append(make("li", { className: "none" }, all.length ? say("more_found", { n: more }) : say("none_found")));
    results.hidden = false;
    box.setAttribute("aria-expanded", "true");
    announce(say("found_count", { n: all.length }));
  };
  box.oninput = show;
  box.onfocus = () => { if (box.value) show(); };
  box.onblur = close;
  box.onkeydown = (event) => {
    const options = results.querySelectorAll("[role=option]");
    if (event.key === "ArrowDown") activate(active + 1);
    else if (event.key === "ArrowUp") activate(active < 0 ? -1 : active - 1);
    else if (event.key === "Enter" && options.length) options[Math.max(active, 0)].dispatchEvent(new MouseEvent("mousedown", { cancelable: true }));
    else if (event.key === "Escape") { box.value = ""; show(); }
    else return;
    event.preventDefault();
  };
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
    event.preventDefault();
    box.focus();
  });
}

// Titles with all of the terms, those that begin with the first one first.
function found(terms) {
  const all = [];
  report.plain.forEach((title, i) => { if (terms.every((term) => title.includes(term))) all.push(i); });
  const begins = (i) => (report.plain[i].startsWith(terms[0]) ? 0 : 1);
  return all.sort((a, b) => begins(a) - begins(b) || report.plain[a].length - report.plain[b].length || a - b);
}

start().then(() => requestAnimationFrame(() => performance.mark("shown"))).catch((error) => {
  $("notice").textContent = `This browser cannot show the report: ${error.message}`;
  $("notice").hidden = false;
  throw error;
});
