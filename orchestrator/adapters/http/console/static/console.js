// What the pages need beside htmx: local times, charts, copying, questions before acts, and calm.
(() => {
  "use strict";

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const another = new Intl.DateTimeFormat(undefined, {
    month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  function showLocalTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const at = new Date(time.dateTime);
      const format = at.toDateString() === new Date().toDateString() ? today : another;
      time.textContent = format.format(at);
      time.dataset.local = "";
    }
    for (const told of root.querySelectorAll("[data-zone]")) told.textContent = zone === "UTC" ? "times in UTC" : `times in ${zone}, UTC on hover`;
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function drawCharts(root) {
    if (!window.uPlot) return;
    for (const place of root.querySelectorAll("[data-chart]:empty")) {
      const data = JSON.parse(place.dataset.chart);
      if (!data.length || data[0].length < 2) {
        place.textContent = "Measuring: there is a line here in a few seconds.";
        place.classList.add("muted");
        continue;
      }
      const lines = ["--busy", "--good", "--bad"].map(colour);
      const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
      const series = JSON.parse(place.dataset.names).map((label, at) => ({
        label, stroke: lines[at], width: 1.5, points: { show: false },
      }));
      const size = { width: place.clientWidth, height: place.clientHeight - 32 };
      const scales = { y: { range: (_, least, most) => [0, Math.max(1, most * 1.1)] } };
      new uPlot({ ...size, scales, axes: [axis, axis], series: [{}, ...series] }, data, place);
    }
  }

  function dress(root) {
    showLocalTimes(root);
    drawCharts(root);
  }

  // Nobody looks, or somebody is about to do something there: what is shown stays as it is.
  function isBusy(element) {
    const chosen = document.getSelection();
    return document.hidden || element.contains(document.activeElement)
      || (chosen && !chosen.isCollapsed && element.contains(chosen.anchorNode));
  }

  document.addEventListener("DOMContentLoaded", () => dress(document));
  document.addEventListener("htmx:load", (event) => dress(event.target.parentNode || document));
  document.addEventListener("htmx:beforeRequest", (event) => {
    const polls = event.detail.elt.hasAttribute("data-calm");
    if (polls && isBusy(event.detail.elt)) event.preventDefault();
  });
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-link]");
    if (!button) return;
    const from = button.dataset.copy && document.querySelector(button.dataset.copy);
    await navigator.clipboard.writeText(from ? from.textContent : location.origin + location.pathname);
    button.textContent = "Copied";
  });
})();
