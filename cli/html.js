"use strict";
// Navigation and the switch between light and dark.
const nav = document.querySelector("nav");
const links = [...document.querySelectorAll("section")].map((section, i) => {
  section.id = "s" + i;
  const link = nav.appendChild(document.createElement("a"));
  link.href = "#s" + i;
  link.textContent = section.dataset.title;
  return {link, chapter: section.closest(".chapter")};
});

// Of several chapters one is shown at a time, with its own sections in the navigation.
const chapters = [...document.querySelectorAll(".chapter")];
if (chapters.length > 1) {
  const buttons = document.createElement("nav");
  buttons.className = "chapters";
  nav.before(buttons);
  const open = k => {
    chapters.forEach((chapter, i) => { chapter.hidden = i !== k; buttons.children[i].classList.toggle("on", i === k); });
    links.forEach(x => { x.link.hidden = x.chapter !== chapters[k]; });
    scrollTo(0, 0);
  };
  chapters.forEach((chapter, i) => {
    const button = buttons.appendChild(document.createElement("button"));
    button.textContent = chapter.dataset.title;
    button.onclick = () => open(i);
  });
  const wanted = chapters.findIndex(chapter => location.hash === "#" + chapter.dataset.title.toLowerCase());
  open(Math.max(0, wanted));
}
const theme = nav.appendChild(document.createElement("button"));
const dark = () => document.documentElement.dataset.theme
  ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const name_theme = () => { theme.textContent = dark() ? "light" : "dark"; };
theme.onclick = () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; name_theme(); };
name_theme();

// Tables: a click on a head sorts, numbers the largest first; the field leaves only rows that hold its text.
document.querySelectorAll(".table").forEach(box => {
  const body = box.querySelector("tbody"), heads = [...box.querySelectorAll("th")];
  const key = (row, i) => {
    const cell = row.cells[i];
    return heads[i].classList.contains("n") ? (cell.dataset.v === undefined ? -Infinity : +cell.dataset.v) : cell.textContent;
  };
  heads.forEach((head, i) => head.onclick = () => {
    const number = head.classList.contains("n"), was = head.getAttribute("aria-sort");
    const up = was ? was === "descending" : !number;
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = (a, b) => number ? key(a, i) - key(b, i) : key(a, i).localeCompare(key(b, i), undefined, {numeric: true});
    body.append(...[...body.rows].sort((a, b) => up ? order(a, b) : order(b, a)));
  });
  box.querySelector("input").oninput = event => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of body.rows)
      row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  };
});

// Timelines: the wheel zooms around the pointer; shift and wheel, or the bar below, move along.
document.querySelectorAll(".timeline").forEach(box => {
  const lanes = box.querySelector(".lanes");
  let zoom = 1;
  box.addEventListener("wheel", event => {
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))
      return;
    event.preventDefault();
    const x = event.clientX - box.getBoundingClientRect().left, at = (box.scrollLeft + x) / zoom;
    zoom = Math.min(500, Math.max(1, zoom * Math.exp(-event.deltaY / 400)));
    lanes.style.width = 100 * zoom + "%";
    box.scrollLeft = at * zoom - x;
  }, {passive: false});
});

// Tips follow the pointer.
const tip = document.getElementById("tip");
document.addEventListener("mousemove", event => {
  const owner = event.target.closest ? event.target.closest("[data-tip]") : null;
  tip.hidden = !owner || !owner.dataset.tip;
  if (tip.hidden)
    return;
  tip.textContent = owner.dataset.tip;
  tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = (event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10
    : event.clientY + 18) + "px";
});
