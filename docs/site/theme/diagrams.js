// Draws every diagram of the page; a reader without scripts has its source to read.
const dark = document.body.getAttribute("data-md-color-scheme") === "slate";
mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "neutral" });
mermaid.run({ querySelector: ".diagram" });
