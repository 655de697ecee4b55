// Accessibility rules, for tests: the body of a function that returns what is
// wrong with the page as it is now, one text each.
const found = [];

function visible(e) {
  return e.checkVisibility({visibilityProperty: true, opacityProperty: true}) &&
    e.getClientRects().length > 0 && !e.closest(".unseen, .skip");
}

function where(e) {
  return e.id ? "#" + e.id : e.tagName.toLowerCase() + (e.classList.length ? "." + [...e.classList].join(".") : "") +
    (e.parentElement ? " in " + (e.parentElement.id ? "#" + e.parentElement.id : e.parentElement.className) : "");
}

// --- contrast: at least 4.5 for all texts, whatever their size
function colour(text) {
  const [r, g, b, a] = text.match(/[\d.]+/g).map(Number);
  return {rgb: [r, g, b], a: a === undefined ? 1 : a};
}

function over(top, bottom) {
  return top.rgb.map((v, i) => v * top.a + bottom[i] * (1 - top.a));
}

function ground(e) {
  const layers = [];
  for (; e; e = e.parentElement) {
    const c = colour(getComputedStyle(e).backgroundColor);
    layers.push(c);
    if (c.a === 1) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
}

function luminance(rgb) {
  const [r, g, b] = rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
}

function contrast(a, b) {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + .05) / (y + .05);
}

let worst = 99;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !visible(e) || e.disabled) continue;
  const style = getComputedStyle(e), svg = e instanceof SVGElement;
  const ink = colour(svg ? style.fill : style.color);
  if (ink.a === 0) continue;  // a button that covers its row, whose texts show
  const grounds = [ground(svg ? e.closest("div") : e)];
  const bar = e.matches(".rank .name") && e.parentElement.querySelector("i");
  if (bar) {
    const c = colour(getComputedStyle(bar).backgroundColor);
    grounds.push(over({rgb: c.rgb, a: Number(getComputedStyle(bar).opacity)}, grounds[0]));
  }
  for (const g of grounds) {
    const ratio = contrast(over(ink, g), g);
    worst = Math.min(worst, ratio);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${where(e)} "${walker.currentNode.data.slice(0, 30)}"`);
  }
}

// --- structure
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) found.push("id twice: " + id);
for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby], [aria-controls]"))
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"])
    for (const id of (e.getAttribute(name) || "").split(/\s+/).filter(Boolean))
      if (!document.getElementById(id)) found.push(`${where(e)}: ${name} names no element: ${id}`);
let level = 0;
for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
  if (!visible(h) || h.closest("dialog")) continue;
  const n = Number(h.tagName[1]);
  if (n > level + 1) found.push(`h${n} after h${level}: ${h.textContent}`);
  if (!h.textContent.trim()) found.push("empty heading: " + where(h));
  level = n;
}
if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
for (const [selector, n] of [["body > header", 1], ["main", 1], ["body > footer", 1]])
  if (document.querySelectorAll(selector).length !== n) found.push("not one " + selector);
for (const e of document.body.children)
  if (!e.matches("header, main, footer, dialog, .skip, script")) found.push("outside of the landmarks: " + where(e));
for (const e of document.querySelectorAll("section, [role=region], dialog"))
  if (!e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) found.push("region without a name: " + where(e));
for (const e of document.querySelectorAll("ul, ol"))
  for (const child of e.children) if (child.tagName !== "LI") found.push("no li in a list: " + where(child));
for (const e of document.querySelectorAll("dl"))
  for (const child of e.children)
    if (child.tagName !== "DIV" || [...child.children].map(c => c.tagName).join() !== "DT,DD") found.push("bad dl: " + where(e));

// --- controls
const named = e => e.getAttribute("aria-label") || e.labels && [...e.labels].some(l => l.textContent.trim()) ||
  e.getAttribute("aria-labelledby") || !e.matches("input, [role=slider]") && e.textContent.trim() || e.title;
for (const e of document.querySelectorAll("button, a[href], input, [tabindex]")) {
  if (!visible(e) || e.tabIndex < 0) continue;
  if (e.tabIndex > 0) found.push("a tabindex above 0: " + where(e));
  if (!e.matches("pre") && !named(e)) found.push("no name: " + where(e));
  const label = e.getAttribute("aria-label"), text = (e.innerText || "").trim();
  if (e.matches("button, a") && label && text && !label.includes(text)) found.push(`the name lacks the text that is seen: ${where(e)}`);
}

// --- ARIA: roles that exist here, and no attributes that a role does not take
const takes = {slider: ["valuemin", "valuemax", "valuenow", "valuetext", "orientation"], status: ["live"], alert: [],
  search: [], region: [], table: [], row: [], rowgroup: [], columnheader: [], cell: []};
for (const e of document.querySelectorAll("*")) {
  const role = e.getAttribute("role");
  if (role && !takes[role]) found.push(`role ${role}: ${where(e)}`);
  for (const {name} of e.attributes) {
    if (!name.startsWith("aria-") || ["aria-label", "aria-labelledby", "aria-describedby", "aria-hidden"].includes(name)) continue;
    if (!(takes[role] || []).includes(name.slice(5)) && !(name === "aria-pressed" && e.tagName === "BUTTON"))
      found.push(`${name} on ${role || e.tagName}: ${where(e)}`);
  }
  if (e.getAttribute("aria-hidden") === "true" && e.querySelector("button, a, input, [tabindex]"))
    found.push("hidden from readers but can have the focus: " + where(e));
  if (e.hasAttribute("aria-label") && !role && e.matches("div, span, p, i, b"))
    found.push("a name on an element without a role: " + where(e));
}
if (!document.documentElement.lang) found.push("no language");
if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);
return [found, worst];
