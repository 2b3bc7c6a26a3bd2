// A table, an equation or code that is wider than the page scrolls inside itself. Then it must be
// reachable by the Tab key, so that the arrow keys can scroll it; and only then. Its right edge
// fades while there is more to see.
const hint = ({ target }) => {
  const hidden = target.scrollWidth - target.clientWidth - target.scrollLeft;
  target.classList.toggle("goes-on", hidden > 1);
};
const observer = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const { target } = entry;
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
    hint(entry);
  }
});
for (const wide of document.querySelectorAll(".bd-article :is(table, div.math, pre)")) {
  observer.observe(wide);
  wide.addEventListener("scroll", hint, { passive: true });
}

// Paper is white for those who read at night, too.
let onScreen;
addEventListener("beforeprint", () => {
  onScreen = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = onScreen;
});
