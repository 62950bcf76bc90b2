"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Figures: plotly in the colours of the page, again whenever light and dark change places.
  const draw = () => {
    const ink = colour("--ink"), line = colour("--line"), paper = colour("--paper");
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = data.figures[place.dataset.figure];
      const layout = {
        ...figure.layout, paper_bgcolor: paper, plot_bgcolor: paper, font: { color: ink }, autosize: true,
        xaxis: { ...axis, ...(figure.layout.xaxis || {}) }, yaxis: { ...axis, ...(figure.layout.yaxis || {}) },
      };
      const traces = figure.data.map((trace) => ({ ...trace, textfont: { color: ink } }));
      if (place.querySelector(".drawing")) place.replaceChildren();
      Plotly.react(place, traces, layout, { responsive: true, displaylogo: false });
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  // One viewer: every text goes in as text.
  const cell = (row, text, kind) => {
    const made = row.insertCell();
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const short = (value) => (value === undefined ? "" : Number(value).toPrecision(4).replace(/\.?0+$/, ""));
  const listed = (named) => Object.entries(named).map(([name, value]) => `${name} ${short(value)}`).join(" · ");
  const why = (row) => {
    const boosts = Object.entries(row.boosts).filter(([, factor]) => factor !== 1);
    const product = boosts.map(([name, factor]) => ` × ${short(factor)} (${name})`).join("");
    const lines = [`found by ${row.sources.join(", ") || "no source"}`];
    if (Object.keys(row.p).length) lines.push(`predicted: ${listed(row.p)}`);
    if (row.scores.value !== undefined) lines.push(`value ${short(row.scores.value)}${product} = score ${short(row.scores.score)}`);
    lines.push(listed(row.scores));
    if (row.did.length) lines.push(`the viewer would: ${row.did.join(", ")}`);
    return lines.join("\n");
  };
  const table = document.getElementById("timeline"), select = document.getElementById("viewer");
  const heads = ["#", "author", "text", "age", "network", "sources", "score"];
  const show = (viewer) => {
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    for (const name of heads) head.appendChild(document.createElement("th")).textContent = name;
    const body = table.createTBody();
    const modules = [...viewer.modules];
    let entries = 0;
    const between = () => {
      while (modules.length && modules[0].place <= entries) {
        const module = modules.shift(), row = body.insertRow();
        row.className = "module";
        cell(row, "");
        cell(row, `${module.kind}: ${module.text}`).colSpan = heads.length - 1;
        entries += 1;
      }
    };
    for (const tweet of viewer.rows) {
      between();
      const row = body.insertRow();
      row.className = "row";
      row.tabIndex = 0;
      cell(row, tweet.rank, "number");
      cell(row, `@${tweet.author}`);
      cell(row, tweet.text, "text");
      cell(row, tweet.age || "");
      cell(row, tweet.in_network === undefined ? "" : tweet.in_network ? "following" : "suggested");
      cell(row, tweet.sources.join(", "));
      cell(row, short(tweet.scores.score), "number");
      const toggle = () => {
        const next = row.nextElementSibling;
        if (next && next.className === "why") { next.remove(); return; }
        const more = body.insertRow(row.sectionRowIndex + 1);
        more.className = "why";
        cell(more, why(tweet)).colSpan = heads.length;
      };
      row.addEventListener("click", toggle);
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") toggle(); });
      entries += 1;
    }
    entries = Infinity;
    between();
  };
  data.viewers.forEach((viewer, place) => {
    const option = document.createElement("option");
    option.value = place;
    option.textContent = `${viewer.viewer} · @${viewer.name}`;
    select.appendChild(option);
  });
  if (select) select.addEventListener("change", () => show(data.viewers[Number(select.value)]));
  if (data.viewers.length) show(data.viewers[0]);
})();
