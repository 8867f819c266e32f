// Drives Chromium for report_browser.py: prints JSON of seconds and counts.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const require = createRequire(path.join(process.env.MEDTUNE_NODE_MODULES, "x.js"));
const { chromium } = require("playwright-core");
const { folder, chromium: executablePath, out } = JSON.parse(process.argv[2]);
const RUNS = 5;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const address = (name) => pathToFileURL(path.join(folder, name)).href;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const found = {};
let outside = 0;
const faults = [];

async function open(name, viewport = { width: 1280, height: 860 }) {
  const page = await browser.newPage({ viewport });
  page.on("request", (request) => { if (!request.url().startsWith("file:")) outside += 1; });
  page.on("console", (line) => { if (line.type() === "error") faults.push(line.text()); });
  page.on("pageerror", (error) => faults.push(String(error)));
  const clock = performance.now();
  await page.goto(address(name));
  if (name === "items.html") await page.waitForSelector(".row");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  return [page, (performance.now() - clock) / 1000];
}

async function time(page, act, value) {
  return page.evaluate(async ([kind, given]) => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const clock = performance.now();
    const node = document.getElementById(kind);
    node.value = given;
    node.dispatchEvent(new Event(kind === "text" ? "input" : "change"));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return (performance.now() - clock) / 1000;
  }, [act, value]);
}

for (const name of ["report.html", "items.html"]) {
  const times = [];
  for (let run = 0; run < RUNS; run += 1) {
    const [page, seconds] = await open(name);
    times.push(seconds);
    await page.close();
  }
  found[`${name} opens, median (s)`] = median(times).toFixed(2);
  found[`${name} opens, slowest (s)`] = Math.max(...times).toFixed(2);
}

const [cold] = await open("items.html");
found["first search at once (s)"] = (await time(cold, "text", "首选")).toFixed(3);
await cold.close();

const [page] = await open("items.html");
await page.waitForTimeout(2500);
const acts = [
  ["text", "首"], ["text", "首选 治疗"], ["text", ""], ["result", "wrong"], ["subject", "1"], ["subject", ""],
  ["sort", "subject"], ["way", "1"], ["sort", "worst"], ["sort", "doubt"], ["result", ""], ["text", "题"], ["text", ""], ["way", "0"],
];
const times = [];
for (const [kind, value] of acts) times.push(await time(page, kind, value));
found["filters, median (s)"] = median(times).toFixed(3);
found["filters, slowest (s)"] = Math.max(...times).toFixed(3);
const keys = [];
await page.evaluate(() => document.getElementById("list").focus());
for (let press = 0; press < 20; press += 1) {
  const clock = performance.now();
  await page.keyboard.press(press % 5 ? "ArrowDown" : "PageDown");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
  keys.push((performance.now() - clock) / 1000);
}
found["next item by key, median (s)"] = median(keys).toFixed(3);
if (out) {
  await page.selectOption("#way", "1");
  await page.selectOption("#sort", "worst");
  await page.screenshot({ path: path.join(out, "desktop.png") });
  await page.click('[data-language="en"]');
  await page.selectOption("#way", "0");
  await page.selectOption("#result", "wrong");
  await page.fill("#text", "首选");
  await page.screenshot({ path: path.join(out, "desktop_en.png") });
  await page.pdf({ path: path.join(out, "items.pdf"), format: "A4", margin: { top: "14mm", bottom: "14mm", left: "14mm", right: "14mm" } });
  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => window.dispatchEvent(new Event("beforeprint")));
  await page.setViewportSize({ width: 690, height: 1000 });
  await page.screenshot({ path: path.join(out, "paper.png") });
  await page.evaluate(() => window.dispatchEvent(new Event("afterprint")));
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.emulateMedia({ media: "screen", colorScheme: "dark" });
  await page.screenshot({ path: path.join(out, "dark.png") });
  const [phone] = await open("items.html", { width: 390, height: 844 });
  await phone.screenshot({ path: path.join(out, "phone_list.png") });
  await phone.click("#more");
  await phone.screenshot({ path: path.join(out, "phone_filters.png") });
  await phone.click("#more");
  await phone.click("#row-2");
  await phone.screenshot({ path: path.join(out, "phone_item.png") });
  const [report] = await open("report.html");
  await report.screenshot({ path: path.join(out, "report.png") });
}
found["requests to the outside"] = String(outside);
found["errors in the console"] = String(faults.length);
for (const fault of faults) console.error(fault);
await browser.close();
console.log(JSON.stringify(found));
