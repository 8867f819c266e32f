/* What is seen of the rows: filters, list, one item, paper. Texts are written as text only, nothing is fetched. */
function refilter({ kept = -1 } = {}) {
  shown = ordered(get("sort").value).filter(fits());
  for (const id of FILTERS) get(id).classList.toggle("set", get(id).value !== get(id).options[0]?.value);
  rows.style.height = `${shown.length * ROW_PIXELS}px`;
  const right = shown.reduce((sum, place) => sum + marks[way][place][RIGHT], 0);
  const share = shown.length ? `${((100 * right) / shown.length).toFixed(2)}%` : "–";
  const gaps = { count: figure(shown.length), n: figure(items.length), share, right: figure(right) };
  get("count").replaceChildren(make("b", "", word("shown", gaps)), ` · ${word("accuracy", gaps)}`);
  choose(Math.max(0, shown.indexOf(kept)), { isQuiet: true });
}

function offer(id, choices) {
  const before = get(id).value;
  get(id).replaceChildren(...choices.map(([value, name, count]) => {
    const option = make("option", "", count === undefined ? name : `${name} (${figure(count)})`);
    option.value = value;
    return option;
  }));
  if (choices.some(([value]) => String(value) === before)) get(id).value = before;
  get(id).disabled = choices.length < 2;
}

function offerAll() {
  const counts = (names, of) => {
    const found = names.map(() => 0);
    for (const place of places) for (const name of of(place)) if (name >= 0) found[name] += 1;
    return names.map((name, at) => [at, typeof name === "string" ? name : name[language], found[at]]).filter(([, , count]) => count);
  };
  const any = ["", word("any")], own = marks[way];
  const has = own.some((mark) => mark[VALUES]);
  offer("way", data.ways.map((name, at) => [at, name[language]]));
  get("way").value = way;
  offer("result", [any, ...["wrong", "mistaken", "unread", "right"].map((name) => [name, word(name)])]);
  offer("subject", [any, ...counts(data.subjects, (place) => [items[place][SUBJECT]])]);
  offer("status", [any, ...counts(data.statuses, (place) => [own[place][STATUS]])]);
  offer("rule", [any, ...counts(data.rules, (place) => [own[place][RULE]])]);
  offer("tag", [any, ...counts(data.tags, (place) => items[place][TAGS])]);
  const sorts = ["worst", ...(has ? ["doubt"] : []), "exam", "subject"];
  offer("sort", sorts.map((name) => [name, word(`sort_${name}`)]));
}

/* ---- the list ---- */

function draw() {
  if (!shown.length) {
    rows.replaceChildren();
    return;
  }
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_PIXELS) - MARGIN_ROWS);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_PIXELS) + MARGIN_ROWS);
  const made = [];
  for (let at = first; at < last; at += 1) made.push(row(at));
  rows.replaceChildren(...made);
}

function row(at) {
  const place = shown[at], item = items[place], mark = marks[way][place], how = outcome(mark);
  const sure = mark[VALUES] && mark[ANSWER] !== null ? ` · ${percent(sureness(mark))}` : "";
  const made = make(
    "div", `row ${how}`, make("span", "sign", SIGNS[how]),
    make("span", "stem", texts ? texts[place][0] : item[ID]),
    make("span", "about", data.subjects[item[SUBJECT]]),
    make("span", "letters", `${item[GOLD]} → ${mark[ANSWER] ?? "–"}${sure}`),
  );
  made.style.top = `${at * ROW_PIXELS}px`;
  made.id = `row-${at}`;
  made.dataset.at = at;
  made.setAttribute("role", "option");
  made.setAttribute("aria-selected", String(at === chosen));
  made.setAttribute("aria-setsize", shown.length);
  made.setAttribute("aria-posinset", at + 1);
  made.querySelector(".sign").setAttribute("aria-label", word(how));
  return made;
}

function choose(at, { isQuiet = false } = {}) {
  chosen = shown.length ? Math.min(Math.max(at, 0), shown.length - 1) : -1;
  const top = chosen * ROW_PIXELS, bottom = top + ROW_PIXELS;
  if (top < list.scrollTop || chosen <= 0) list.scrollTop = Math.max(0, top);
  else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
  draw();
  if (chosen >= 0) list.setAttribute("aria-activedescendant", `row-${chosen}`);
  else list.removeAttribute("aria-activedescendant");
  get("previous").disabled = chosen <= 0;
  get("next").disabled = chosen < 0 || chosen === shown.length - 1;
  get("place").textContent = chosen < 0 ? "" : word("place", { place: figure(chosen + 1), count: figure(shown.length) });
  article.replaceChildren(...(chosen < 0 ? [make("p", "none", word("none"))] : tell(shown[chosen])));
  if (!isQuiet) reading.scrollTop = 0;
  clearTimeout(settling);
  settling = setTimeout(remember, SETTLE_MS);
}

/* ---- one item ---- */

function tell(place) {
  const item = items[place];
  const facts = make("div", "facts", make("span", "chip", data.subjects[item[SUBJECT]]));
  if (item[GOLD].length > 1) facts.append(make("span", "chip", word("multiple")));
  for (const tag of item[TAGS]) facts.append(make("span", "chip", data.tags[tag][language]));
  facts.append(make("code", "", item[ID]));
  const parts = [facts];
  if (texts) {
    const [stem, history, options] = texts[place];
    if (history) parts.push(make("p", "case", history));
    parts.push(make("p", "question", stem), tellOptions(place, options));
  } else {
    parts.push(make("p", "none", word("no_texts")), tellOptions(place, [...item[LABELS]].map(() => "")));
  }
  return [...parts, ...data.ways.map((name, at) => tellWay(place, at, name))];
}

function tellOptions(place, options) {
  const item = items[place];
  return make("ul", "options", ...[...item[LABELS]].map((letter, at) => {
    const isGold = item[GOLD].includes(letter), said = make("span", "said");
    if (isGold) said.append(make("span", "key", word("gold")));
    data.ways.forEach((name, which) => {
      if ((marks[which][place][ANSWER] ?? "").includes(letter)) said.append(make("span", isGold ? "right" : "wrong", name[language]));
    });
    return make("li", isGold ? "gold" : "", make("b", "", letter), make("span", "", options[at]), said);
  }));
}

function tellWay(place, at, name) {
  const mark = marks[at][place], how = outcome(mark);
  const about = [`${word("answer")} ${mark[ANSWER] ?? word("no_answer")}`, `${word("gold")} ${items[place][GOLD]}`];
  if (mark[STATUS] >= 0) about.push(data.statuses[mark[STATUS]][language]);
  if (mark[RULE] >= 0) about.push(`${word("by_rule")} ${data.rules[mark[RULE]]}`);
  const sign = make("span", `sign ${how}`, SIGNS[how]);
  sign.setAttribute("aria-label", word(how));
  const made = make("section", `way ${how}${at === way ? " current" : ""}`,
    make("h2", "", sign, name[language], make("small", "", about.join(" · "))));
  if (mark[REASONING]) {
    const thought = make("details", "", make("summary", "", word("reasoning")), make("p", "reasoning", ...pieces(mark[REASONING])));
    made.append(thought);
  }
  if (mark[BEFORE]) {
    const said = [...pieces(mark[BEFORE]), ...(mark[DECIDED] ? [make("mark", "", mark[DECIDED])] : []), ...pieces(mark[AFTER])];
    made.append(make("p", "reply", ...(said.length ? said : [make("span", "gap", word("empty"))])));
  }
  if (mark[VALUES]) made.append(tellValues(mark[VALUES], mark[ANSWER], items[place][GOLD]));
  return made;
}

function pieces(parts) {
  return parts.map((part) => (typeof part === "string" ? part : make("span", "gap", ` … ${word("gap", { count: figure(part) })} … `)));
}

function tellValues(values, answer, gold) {
  const best = shares(values).sort((a, b) => b[1] - a[1]).slice(0, 10);
  const cells = best.flatMap(([key, share, value]) => {
    const bar = make("span", "");
    bar.style.width = percent(share);
    const how = key === gold ? "right" : key === answer ? "wrong" : "";
    return [make("b", "", key), make("i", how, bar), make("span", "", percent(share)), make("small", "", value.toFixed(2))];
  });
  return make("div", "values", make("small", "caption", word("values")), ...cells);
}

/* ---- paper, language, the address, keys ---- */

function fillPaper() {
  const wrong = shown.filter((place) => !marks[way][place][RIGHT]);
  const some = wrong.slice(0, PRINTED);
  get("paper").replaceChildren(
    make("h1", "", document.title),
    make("p", "", get("count").textContent, " · ", word("print", { count: some.length, n: figure(wrong.length) })),
    ...some.map((place) => make("article", "", ...tell(place))),
  );
}

function speak(chosenLanguage) {
  language = chosenLanguage in data.words ? chosenLanguage : "zh";
  document.documentElement.lang = language === "zh" ? "zh-CN" : language;
  document.title = document.querySelector(`h1 [lang="${language}"]`).textContent;
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = word(node.dataset.word);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", word(node.dataset.label));
  for (const node of document.querySelectorAll(".language")) node.setAttribute("aria-pressed", String(node.dataset.language === language));
  get("text").placeholder = word("search");
  offerAll();
}

function remember() {
  const told = new URLSearchParams({ lang: language });
  for (const id of [...FILTERS, "text"]) if (get(id).value && (id === "text" || get(id).selectedIndex > 0)) told.set(id, get(id).value);
  if (chosen > 0) told.set("id", items[shown[chosen]][ID]);
  history.replaceState(null, "", `#${told}`);
}

function recall() {
  const told = new URLSearchParams(location.hash.slice(1));
  way = Math.min(Math.max(Number(told.get("way")) || 0, 0), data.ways.length - 1);
  speak(told.get("lang") || "zh");
  for (const id of [...FILTERS.slice(1), "text"]) {
    get(id).value = told.get(id) ?? (id === "sort" ? "worst" : "");
    if (get(id).selectedIndex === -1) get(id).selectedIndex = 0;
  }
  refilter();
  const place = items.findIndex((item) => item[ID] === told.get("id"));
  if (shown.includes(place)) choose(shown.indexOf(place));
}

function turnTo(isItem) {
  document.body.classList.toggle("is-reading", isItem);
  (isItem ? reading : list).focus({ preventScroll: true });
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

function press(event) {
  const isText = event.target === get("text"), isField = isText || event.target.matches("select");
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.key === "Escape") {
    if (isText && get("text").value) { get("text").value = ""; refilter(); } else turnTo(false);
  } else if (isText && (event.key === "Enter" || event.key === "ArrowDown")) list.focus();
  else if (isField) return;
  else if (event.key === "/") get("text").focus();
  else if (event.key === "Enter" && event.target === list) turnTo(true);
  else if (event.key in STEPS && !(event.target === reading && event.key.startsWith("Page"))) choose(chosen + STEPS[event.key]);
  else return;
  event.preventDefault();
}

function foldAhead(place = 0) {
  for (let at = place; at < Math.min(place + BLOCK, items.length); at += 1) hay(at);
  if (place + BLOCK < items.length) setTimeout(foldAhead, 0, place + BLOCK);
}

for (const id of FILTERS) get(id).addEventListener("change", () => {
  const kept = id === "way" ? shown[chosen] : -1;
  if (id === "way") { way = Number(get("way").value); offerAll(); }
  refilter({ kept });
});
get("text").addEventListener("input", () => refilter());
get("clear").addEventListener("click", () => {
  for (const id of FILTERS.slice(1)) get(id).selectedIndex = 0;
  get("text").value = "";
  refilter();
});
get("more").addEventListener("click", () => get("more").setAttribute("aria-expanded", String(get("more").getAttribute("aria-expanded") !== "true")));
get("previous").addEventListener("click", () => choose(chosen - 1));
get("next").addEventListener("click", () => choose(chosen + 1));
get("close").addEventListener("click", () => turnTo(false));
rows.addEventListener("click", (event) => {
  const picked = event.target.closest(".row");
  if (picked) { choose(Number(picked.dataset.at)); turnTo(true); }
});
for (const node of document.querySelectorAll(".language")) node.addEventListener("click", () => { speak(node.dataset.language); refilter({ kept: shown[chosen] }); });
list.addEventListener("scroll", draw, { passive: true });
addEventListener("resize", draw);
addEventListener("beforeprint", fillPaper);
addEventListener("afterprint", () => get("paper").replaceChildren());
document.addEventListener("keydown", press);
get("app").hidden = false;
recall();
setTimeout(foldAhead, SETTLE_MS);
