// Copies the BibTeX above a button, and says so where a screen reader hears it. Where a browser
// gives no access to the clipboard, the text is selected: Ctrl+C then copies it.
for (const button of document.querySelectorAll(".copy-bibtex")) {
  const box = button.closest(".citation-box");
  const text = box.querySelector("pre");
  const status = box.querySelector("[role=status]");
  button.addEventListener("click", async () => {
    status.textContent = "";
    try {
      await navigator.clipboard.writeText(text.textContent);
      status.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(text);
      status.textContent = "Selected: press Ctrl+C to copy.";
    }
  });
}
