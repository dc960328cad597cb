// Looks at a report in a headless browser: node page.mjs BROWSER MODULES PAGE PICTURES. Prints what it found as JSON.
//
// BROWSER is a program, MODULES a folder with playwright-core and axe-core, PICTURES the start of the names of screenshots.
import { createRequire } from "node:module";

const [browserPath, modules, file, pictures] = process.argv.slice(2);
const require = createRequire(`${modules}/package.json`);
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });

// Text that is smaller than 11 pixels, and targets that are smaller than 24, among what can be seen.
function measure() {
  const seen = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 0;
  const texts = [...document.querySelectorAll("body *")].filter((element) => seen(element) &&
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim()));
  const small = texts.filter((element) => parseFloat(getComputedStyle(element).fontSize) < 11);
  const targets = [...document.querySelectorAll("button, input, summary, a, [role=slider]")].filter(seen);
  const tight = targets.filter((element) => element.getBoundingClientRect().height < 24 || element.getBoundingClientRect().width < 24);
  const name = (element) => element.outerHTML.slice(0, 80);
  return { texts: texts.length, targets: targets.length, small: small.map(name), tight: tight.map(name),
    overflow: document.documentElement.scrollWidth - innerWidth };
}

async function look(width, scheme) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  const log = [];
  page.on("console", (message) => log.push(message.text()));
  page.on("pageerror", (error) => log.push(String(error)));
  page.on("request", (request) => { if (!/^(file|data):/.test(request.url())) log.push(`asked for ${request.url()}`); });
  await page.goto(`file://${file}`);
  await page.addScriptTag({ path: axe });
  const run = (rules) => axe.run(document, { runOnly: rules, rules: { "target-size": { enabled: true } } });
  const audit = await page.evaluate(run, RULES);
  const violations = audit.violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.target.join(" ")) }));
  const found = { width, scheme, log, violations, passes: audit.passes.length, ...(await page.evaluate(measure)) };
  await page.screenshot({ path: `${pictures}-${width}-${scheme}.png`, fullPage: true });
  await context.close();
  return found;
}

// What a user does: moves, searches, chooses, takes the link along.
async function use() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.goto(`file://${file}`);
  const said = () => page.evaluate(() => [...document.querySelectorAll(".strip")].map((strip) => strip.getAttribute("aria-valuetext")));
  const captions = () => page.locator("#maps figcaption").allInnerTexts();
  const loaded = await captions();
  const moment = await page.locator("#moment").innerText();
  await page.locator("#state").focus();
  await page.keyboard.press("Home");
  const atBoot = await captions();
  await page.locator("#marks button", { hasText: "modules" }).click();
  const atModules = await captions();
  const strip = page.locator(".strip").last();
  await strip.focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  const byKeys = (await said()).pop();
  const inspected = await page.locator("#inspector tbody th").allInnerTexts();
  await page.locator(".strip").first().scrollIntoViewIfNeeded();
  const box = await page.locator(".strip").first().boundingBox();
  await page.mouse.move(box.x + 20, box.y + 45);
  const tip = await page.locator("#tip").innerText();
  await page.locator("#find").fill(inspected[0]);
  const foundText = await page.locator("#found").innerText();
  const hits = await page.locator(".part.hit").count();
  const link = page.url();
  const other = await context.newPage();
  await other.goto(link);
  const followed = { moment: await other.locator("#moment").innerText(), find: await other.locator("#find").inputValue(),
    said: await other.evaluate(() => [...document.querySelectorAll(".strip")].pop().getAttribute("aria-valuetext")) };
  const gaps = await page.locator("line.gap").count();
  const tall = await page.locator(".tile").count(), combs = await page.locator(".teeth").count();
  const colours = await page.evaluate(() => [...document.querySelectorAll("#maps figure, .tiles figure")].map((figure) =>
    [figure.querySelector(".policy").textContent, getComputedStyle(figure).getPropertyValue("--policy")]));
  await context.close();
  return { loaded, moment, atBoot, atModules, byKeys, inspected, tip, foundText, hits, link, followed, gaps, tall, combs, colours };
}

async function withoutScripts() {
  const context = await browser.newContext({ viewport: { width: 390, height: 900 }, javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(`file://${file}`);
  const tables = await page.locator("table:visible").count();
  const noscript = await page.locator("noscript").first().innerText().catch(() => "");
  await context.close();
  return { tables, noscript };
}

async function printed() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`file://${file}`);
  const pdf = await page.pdf({ format: "A4" });
  await page.emulateMedia({ media: "print" });
  const controls = await page.locator(".controls").isVisible();
  await context.close();
  return { bytes: pdf.length, controls };
}

const looks = [];
for (const width of [390, 1280]) for (const scheme of ["light", "dark"]) looks.push(await look(width, scheme));
console.log(JSON.stringify({ looks, use: await use(), withoutScripts: await withoutScripts(), printed: await printed() }));
await browser.close();
