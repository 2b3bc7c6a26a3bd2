// Which chapters the reader has read: a box to tick at the end of each numbered page, and a tick
// beside its line in the table of contents. It is kept in this browser alone and sent nowhere.
// Some browsers keep nothing for pages from a folder, or at all: then no box is offered.
const root = new URL(document.documentElement.dataset.content_root, location.href);
const key = `chapters read: ${root.pathname}`; // several books may share a host

const storage = () => {
  try {
    localStorage.setItem(`${key} (test)`, "");
    localStorage.removeItem(`${key} (test)`);
    return localStorage;
  } catch {
    return null; // forbidden by the reader, or full
  }
};
const kept = storage();

const nameOf = (address) =>
  new URL(address).pathname.slice(root.pathname.length).replace(/\.html$/, "");
const here = nameOf(location.href);
const chapters = [...document.querySelectorAll(".bd-links a.internal")]
  .filter((link) => /^\d+\./.test(link.textContent.trim()));

const form = document.createElement("p");
form.className = "reading-progress d-print-none";
form.innerHTML = `<label><input type="checkbox"> I have read this chapter</label>
  <button type="button">Clear all ticks</button>
  <span class="where-kept">Ticks are kept in this browser only.</span>`;
const box = form.querySelector("input");
const clear = form.querySelector("button");

const saved = () => new Set((kept.getItem(key) ?? "").split("\n").filter(Boolean));
const save = (read) => {
  kept.setItem(key, [...read].join("\n"));
  show();
};
const show = () => {
  const read = saved();
  for (const link of chapters) {
    link.querySelector(".is-read")?.remove();
    if (!read.has(nameOf(link.href))) continue;
    const tick = document.createElement("span");
    tick.className = "is-read";
    tick.innerHTML = ' <span aria-hidden="true">✓</span><span class="visually-hidden">read</span>';
    link.append(tick);
  }
  box.checked = read.has(here);
  clear.hidden = read.size === 0;
};

box.addEventListener("change", () => {
  const read = saved();
  if (box.checked) read.add(here);
  else read.delete(here);
  save(read);
});
clear.addEventListener("click", () => {
  save(new Set());
  box.focus(); // the button is gone
});

if (kept) {
  if (chapters.some((link) => nameOf(link.href) === here)) {
    document.querySelector("article.bd-article").after(form);
  }
  show();
  addEventListener("storage", show); // the same lesson in another tab
}
