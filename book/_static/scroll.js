// A table or an equation that is wider than the page scrolls inside itself. Then it must be
// reachable by the Tab key, so that the arrow keys can scroll it; and only then.
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const wide of document.querySelectorAll(".bd-article :is(table, div.math)")) {
  observer.observe(wide);
}
