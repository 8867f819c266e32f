"use strict";
/* The rows of the page: what is known of each answer, and which of them are asked for in which order. */
const data = JSON.parse(document.getElementById("data").textContent);
const ROW_PIXELS = 58, MARGIN_ROWS = 8, PRINTED = 20, SETTLE_MS = 300, BLOCK = 500;
const RIGHT = 0, ANSWER = 1, STATUS = 2, RULE = 3, VALUES = 4, BEFORE = 5, DECIDED = 6, AFTER = 7, REASONING = 8;
const ID = 0, SUBJECT = 1, LABELS = 2, GOLD = 3, TAGS = 4;
const SIGNS = { right: "✓", wrong: "✗", unread: "?" };
const FILTERS = ["way", "result", "subject", "status", "rule", "tag", "sort"];
const { items, texts, marks } = data;
const get = (id) => document.getElementById(id);
const list = get("list"), rows = get("rows"), reading = get("reading"), article = get("item");
const places = items.map((_, place) => place);
const orders = new Map();
const haystack = new Array(items.length);
let language = "zh", shown = [], chosen = -1, way = 0, settling = 0;

const word = (name, gaps = {}) =>
  data.words[language][name].replace(/\{(\w+)\}/g, (whole, gap) => (gap in gaps ? gaps[gap] : whole));
const figure = (count) => count.toLocaleString("en-US");
const percent = (share) => `${(100 * share).toFixed(share === 1 ? 0 : 1)}%`;
const plain = (text) => text.normalize("NFKC").toLowerCase();

function make(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children.filter((child) => child !== null));
  return made;
}

/* ---- what is known of an answer ---- */

function outcome(mark) {
  return mark[RIGHT] ? "right" : mark[ANSWER] === null ? "unread" : "wrong";
}

function shares(values) {
  const highest = Math.max(...Object.values(values));
  const weights = Object.entries(values).map(([key, value]) => [key, Math.exp(value - highest), value]);
  const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
  return weights.map(([key, weight, value]) => [key, weight / total, value]);
}

function sureness(mark) {
  return mark[VALUES] ? Math.max(...shares(mark[VALUES]).map(([, share]) => share)) : 0;
}

function hay(place) {
  if (haystack[place] === undefined) {
    const parts = [items[place][ID]];
    if (texts) {
      const [stem, history, options] = texts[place];
      parts.push(stem, history || "", ...options);
      for (const own of marks) {
        const mark = own[place];
        if (mark[BEFORE]) parts.push([...mark[BEFORE], mark[DECIDED], ...mark[AFTER]].join(""));
      }
    }
    haystack[place] = plain(parts.join("\n"));
  }
  return haystack[place];
}

/* ---- which items, in which order ---- */

function ordered(sort) {
  const key = `${sort} ${way}`;
  if (!orders.has(key)) {
    const own = marks[way], ranks = { wrong: 0, unread: 1, right: 2 };
    const sure = own.map(sureness), rank = own.map((mark) => ranks[outcome(mark)]);
    const sign = (place) => (rank[place] === 2 ? 1 : -1);
    const ways = {
      worst: (a, b) => rank[a] - rank[b] || sign(a) * (sure[a] - sure[b]) || a - b,
      doubt: (a, b) => sure[a] - sure[b] || a - b,
      subject: (a, b) => items[a][SUBJECT] - items[b][SUBJECT] || a - b,
      exam: (a, b) => a - b,
    };
    orders.set(key, [...places].sort(ways[sort]));
  }
  return orders.get(key);
}

function fits() {
  const result = get("result").value, tests = [];
  const picked = (id) => (get(id).value === "" ? null : Number(get(id).value));
  const [subject, status, rule, tag] = ["subject", "status", "rule", "tag"].map(picked);
  const own = marks[way];
  if (result === "wrong") tests.push((place) => !own[place][RIGHT]);
  else if (result === "mistaken") tests.push((place) => outcome(own[place]) === "wrong");
  else if (result) tests.push((place) => outcome(own[place]) === result);
  if (subject !== null) tests.push((place) => items[place][SUBJECT] === subject);
  if (status !== null) tests.push((place) => own[place][STATUS] === status);
  if (rule !== null) tests.push((place) => own[place][RULE] === rule);
  if (tag !== null) tests.push((place) => items[place][TAGS].includes(tag));
  for (const part of plain(get("text").value).split(/\s+/).filter(Boolean)) {
    tests.push((place) => hay(place).includes(part));
  }
  return (place) => tests.every((test) => test(place));
}
