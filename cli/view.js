// A model's graph: an outline of modules to the left, boxes in the middle, what is selected to the right. Only what is
// unfolded is drawn, so that graphs of many thousand nodes stay quick.
document.querySelectorAll(".view").forEach(view => {
  const data = JSON.parse(view.querySelector("script").textContent);
  const outline = view.querySelector(".outline"), canvas = view.querySelector(".canvas"), side = view.querySelector(".side");
  const find = view.querySelector("input"), tabs = view.querySelector(".tabs");
  const W = 200, H = 40, LANE = W + 22, ROW = H + 28, MOST = 150, CHUNK = 50;
  let graph, items, zoom = 1, selected = null;

  const element = (parent, tag, text, css) => {
    const e = parent.appendChild(document.createElement(tag));
    if (text !== undefined) e.textContent = text;
    if (css) e.className = css;
    return e;
  };
  const svg = (parent, tag, attributes, text) => {
    const e = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
    for (const name in attributes) e.setAttribute(name, attributes[name]);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const amount = x => x >= 1e9 ? (x / 1e9).toFixed(1) + " G" : x >= 1e6 ? (x / 1e6).toFixed(1) + " M" : x >= 1e3 ? (x / 1e3).toFixed(1) + " k" : String(x);
  const cut = (text, n) => text.length > n ? text.slice(0, n - 1) + "…" : text;
  const label = node => node.o + (node.f ? " + " + node.f : "");
  const hue = node => node.o === "Input" || node.o === "Output" ? "c4"
    : /Conv|Gemm|MatMul|Attention|LSTM|GRU|RNN/.test(node.o) ? "c0" : /Norm/.test(node.o) ? "c3" : /Pool|Reduce|ArgM/.test(node.o) ? "c1"
    : /Relu|Sigmoid|Tanh|Softmax|Gelu|Elu|Swish|Clip|Erf|Mish/.test(node.o) ? "c2"
    : /Quant/.test(node.o) ? "c5" : /Add|Mul|Sub|Div|Sum|Pow|Sqrt/.test(node.o) ? "c6" : "c8";

  // The outline: modules by the parts of their paths; many nodes side by side become groups of neighbours.
  const group = (name, up) => ({name, up, path: up && up.up ? up.path + "." + name : name, groups: new Map(), nodes: [], all: [], open: true});
  const grow = g => {
    g.root = group("", null);
    g.nodes.forEach((node, i) => {
      const at = node.m ? node.m.split(".") : node.n.startsWith("/") ? node.n.split("/").slice(1, -1) : [];
      let here = g.root;
      here.all.push(i);
      for (const part of at) {
        if (!here.groups.has(part)) here.groups.set(part, group(part, here));
        here = here.groups.get(part);
        here.all.push(i);
      }
      here.nodes.push(i);
    });
    const tidy = here => {
      for (const [name, inner] of [...here.groups]) {
        if (inner.all.length === 1) { here.groups.delete(name); here.nodes.push(inner.all[0]); } else tidy(inner);
      }
      here.nodes.sort((a, b) => a - b);
      if (here.nodes.length > 4 * CHUNK)
        for (const nodes = here.nodes.splice(0); nodes.length;) {
          const some = nodes.splice(0, CHUNK), name = "nodes " + some[0] + "–" + some[some.length - 1];
          const chunk = group(name, here);
          chunk.nodes = some; chunk.all = some; here.groups.set(name, chunk);
        }
      here.params = here.all.reduce((sum, i) => sum + g.nodes[i].p, 0);
    };
    tidy(g.root);
    const tidied = (here, up) => { here.up = up; here.params = here.all.reduce((s, i) => s + g.nodes[i].p, 0); here.groups.forEach(x => tidied(x, here)); };
    tidied(g.root, null);
    let depth = 6;
    do fold(g.root, depth); while (list(g.root, []).length > MOST && depth-- > 0);
  };
  const fold = (here, depth) => { here.open = depth > 0 || !here.up; here.groups.forEach(x => fold(x, depth - 1)); };
  const list = (here, out) => {
    if (!here.open) { out.push({group: here, first: here.all[0], all: here.all}); return out; }
    here.groups.forEach(x => list(x, out));
    here.nodes.forEach(i => out.push({node: i, first: i, all: [i]}));
    return out;
  };
  const home = (here, i) => {     // the group that holds node i, unfolded down to it
    here.open = true;
    for (const inner of here.groups.values())
      if (inner.all.includes(i)) return home(inner, i);
    return here;
  };

  // Rows by the longest way from an input, lanes by the first source: an edge runs down its source's lane.
  const place = () => {
    items = list(graph.root, []).sort((a, b) => a.first - b.first);
    const of = [];
    items.forEach((item, k) => item.all.forEach(i => { of[i] = k; }));
    items.forEach((item, k) => {
      item.from = [...new Set(item.all.flatMap(i => graph.nodes[i].i.map(x => x[2]).filter(s => s >= 0).map(s => of[s])))].filter(s => s !== k);
      item.row = Math.max(0, ...item.from.filter(s => s < k).map(s => items[s].row + 1));
    });
    items.forEach(item => { item.last = item.row; });
    items.forEach((item, k) => item.from.forEach(s => { if (s < k) items[s].last = Math.max(items[s].last, item.row); }));
    const free = [];
    [...items].sort((a, b) => a.row - b.row || a.first - b.first).forEach(item => {
      const wanted = item.from.length ? Math.max(0, items[item.from[0]].lane || 0) : 0;
      for (let d = 0; ; d++) {
        if (wanted >= d && (free[wanted - d] || 0) <= item.row) { item.lane = wanted - d; break; }
        if ((free[wanted + d] || 0) <= item.row) { item.lane = wanted + d; break; }
      }
      free[item.lane] = Math.max(item.last, item.row + 1);
    });
  };

  const draw = () => {
    place();
    canvas.textContent = "";
    const width = LANE * (1 + Math.max(0, ...items.map(x => x.lane))), height = ROW * (1 + Math.max(0, ...items.map(x => x.row)));
    const picture = svg(canvas, "svg", {viewBox: `-3 -3 ${width} ${height}`, width: width * zoom, height: height * zoom});
    const x = item => item.lane * LANE + W / 2;
    items.forEach((item, k) => item.from.forEach(s => {
      const from = items[s], x0 = x(from), x1 = x(item), y0 = from.row * ROW + H, y1 = item.row * ROW, turn = Math.max(y0, y1 - (ROW - H));
      const edge = svg(picture, "path", {d: `M${x0} ${y0}V${turn}C${x0} ${y1 - 6} ${x1} ${turn + 6} ${x1} ${y1}`});
      edge.dataset.ends = s + " " + k;
    }));
    items.forEach((item, k) => {
      const node = item.group ? null : graph.nodes[item.node], left = item.lane * LANE, top = item.row * ROW;
      const box = svg(picture, "g", {tabindex: 0, class: item.group ? "fold" : ""});
      if (item.group) svg(box, "rect", {class: "c8 behind", x: left + 4, y: top + 4, width: W, height: H, rx: 6});
      svg(box, "rect", {class: item.group ? "c8" : hue(node), x: left, y: top, width: W, height: H, rx: 6});
      svg(box, "text", {x: left + 9, y: top + 17}, cut(item.group ? "▸ " + item.group.name : label(node), 29));
      svg(box, "text", {x: left + 9, y: top + 32}, cut(item.group ? item.all.length + " nodes, " + amount(item.group.params) + " parameters"
        : node.u.length && node.u[0][1] ? node.u[0][1] : node.n, 34));
      item.box = box;
      box.onclick = () => { if (item.group) { item.group.open = true; redraw(item.group); } else choose(item.node); };
      box.onkeydown = event => { if (event.key === "Enter") box.onclick(); };
    });
    mark();
  };
  const mark = () => {
    const k = items.findIndex(item => item.node === selected && selected !== null);
    items.forEach((item, i) => item.box.classList.toggle("on", i === k));
    canvas.querySelectorAll("path").forEach(p => p.classList.toggle("on", k >= 0 && p.dataset.ends.split(" ").includes(String(k))));
    return k < 0 ? null : items[k];
  };
  const show = item => {
    if (!item) return;
    canvas.scrollTo({left: (item.lane * LANE + W / 2) * zoom - canvas.clientWidth / 2, top: (item.row * ROW) * zoom - canvas.clientHeight / 3});
  };
  const redraw = here => {
    draw();
    sketch();
    show(items.find(item => item.all.some(i => here.all.includes(i))));
  };

  // The outline's rows, of unfolded groups alone; or what the search has found.
  const row = (depth, text, note, css, act) => {
    const line = element(outline, "button", undefined, css);
    line.style.paddingLeft = 8 + 12 * depth + "px";
    element(line, "span", text);
    element(line, "small", note);
    line.onclick = act;
  };
  const sketch = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(w => w);
    outline.textContent = "";
    if (words.length) {
      const hits = graph.nodes.map((node, i) => i).filter(i => words.every(w => graph.nodes[i].text.includes(w)));
      row(0, hits.length + " found", "", "sum", () => {});
      hits.slice(0, 300).forEach(i => row(0, label(graph.nodes[i]), graph.nodes[i].n, i === selected ? "on" : "", () => go(i)));
      return hits;
    }
    const walk = (here, depth) => {
      if (here.up) row(depth, (here.open ? "▾ " : "▸ ") + here.name, String(here.all.length), "", () => { here.open = !here.open; redraw(here); });
      if (here.open) here.groups.forEach(x => walk(x, here.up ? depth + 1 : 0));
    };
    walk(graph.root, 0);
    if (!outline.firstChild) row(0, "no modules", "", "sum", () => {});
    return [];
  };

  const rows = (title, list) => {
    if (!list.length) return;
    element(side, "h4", title);
    list.forEach(([name, text, source]) => {
      const line = element(side, "p");
      const name_ = element(line, source >= 0 ? "button" : "b", name || "–");
      if (source >= 0) name_.onclick = () => go(source);
      element(line, "span", text + (source === -2 ? " constant" : ""));
    });
  };
  const choose = i => {
    const node = graph.nodes[i];
    selected = i;
    side.textContent = "";
    element(side, "h3", label(node));
    element(side, "p", node.n, "name");
    if (node.m) {
      const where = element(side, "p", "module ");
      element(where, "button", node.m).onclick = () => { const here = home(graph.root, i); if (here.up) { here.open = false; redraw(here); } };
    }
    if (node.d) element(side, "p", "domain " + node.d);
    if (node.p) element(side, "p", amount(node.p) + " parameters");
    rows("outputs", node.u.map(x => [x[0], x[1], -1]));
    rows("inputs", node.i);
    rows("attributes", node.a.map(x => [x[0], x[1], -1]));
    return mark();
  };
  const go = i => { home(graph.root, i); draw(); sketch(); show(choose(i)); };

  const start = k => {
    graph = data[k];
    [...tabs.querySelectorAll("button.tab")].forEach((b, i) => b.classList.toggle("on", i === k));
    if (!graph.root) {
      graph.nodes.forEach(n => { n.text = (label(n) + " " + n.n + " " + n.m + " " + n.u.map(x => x.join(" ")).join(" ")).toLowerCase(); });
      grow(graph);
    }
    selected = null;
    side.textContent = "";
    element(side, "p", "Choose a node to see its types, inputs and attributes.", "name");
    draw();
    sketch();
  };
  data.forEach((g, k) => { element(tabs, "button", g.title + " (" + g.nodes.filter(n => n.o !== "Input" && n.o !== "Output").length + ")", "tab").onclick = () => start(k); });
  const tool = (text, act) => { element(tabs, "button", text, "tool").onclick = act; };
  tool("unfold all", () => { fold(graph.root, 99); draw(); sketch(); });
  tool("fold all", () => { fold(graph.root, 1); graph.root.groups.forEach(x => { x.open = false; }); draw(); sketch(); });
  tool("−", () => { zoom = Math.max(0.1, zoom / 1.3); draw(); });
  tool("+", () => { zoom = Math.min(3, zoom * 1.3); draw(); });
  find.oninput = sketch;
  find.onkeydown = event => { if (event.key === "Enter") { const hits = sketch(); if (hits.length) go(hits[(hits.indexOf(selected) + 1) % hits.length]); } };
  start(0);
  const wanted = decodeURIComponent(location.hash.slice(1));    // PAGE.html#NODE opens at a node
  const named = graph.nodes.findIndex(n => wanted && n.n === wanted);
  if (named >= 0) go(named);
});
