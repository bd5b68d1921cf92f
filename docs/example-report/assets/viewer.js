// The sample viewer: filters over columns that are in memory, texts from compressed pieces on demand, search as a stream.
// From disk a page may not fetch, so index and pieces are scripts beside it that call `klear.index` and `klear.piece`.
"use strict";
window.klear = window.klear || {};
(() => {
  const { make, visible } = klear;
  const PAGE = 100;             // rows of the list shown at a time
  const KEPT = 6;               // unpacked pieces kept
  const AHEAD = 3;              // pieces loaded before the search needs them
  const AROUND = 60;            // characters of a hit shown on both sides
  const URLS = /^(samples\/(index|problems|\d+)|assets\/vendor\/(katex\/katex\.min|prism\/prism-python\.min))\.js$/;
  const policy = window.trustedTypes
    ? trustedTypes.createPolicy("klear-report", { createScriptURL: url => { if (!URLS.test(url)) throw new TypeError(url); return url; } })
    : { createScriptURL: url => url };
  const by = name => document.getElementById(`viewer-${name}`);
  const count = number => number.toLocaleString("en");

  // --- loading ---------------------------------------------------------------------------------------------------

  function load(url) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = policy.createScriptURL(url);
      script.addEventListener("load", () => { script.remove(); resolve(); });
      script.addEventListener("error", () => { script.remove(); reject(new Error(`${url} is missing beside this page`)); });
      document.head.append(script);
    });
  }

  async function unpack(base64) {
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(base64) : Uint8Array.from(atob(base64), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  }

  const handed = new Map();
  klear.index = data => handed.set("index", data);
  klear.problems = data => handed.set("problems", data);
  klear.piece = (number, data) => handed.set(String(number), data);

  async function read(name) {
    await load(`samples/${name}.js`);
    const data = handed.get(name);
    handed.delete(name);
    return unpack(data);
  }

  const pieces = new Map();     // number → promise of its rows, the latest used last
  function piece(number) {
    let found = pieces.get(number);
    if (found) pieces.delete(number);
    else found = read(String(number));
    pieces.set(number, found);
    if (pieces.size > KEPT) pieces.delete(pieces.keys().next().value);
    return found;
  }

  let libraries;
  function drawing() {
    libraries ??= (() => {
      const style = make("link");
      style.rel = "stylesheet";
      style.href = "assets/vendor/katex/katex.min.css";
      document.head.append(style);
      window.Prism = { manual: true };
      return Promise.all([load("assets/vendor/katex/katex.min.js"), load("assets/vendor/prism/prism-python.min.js")]);
    })();
    return libraries;
  }

  let statements;
  const problems = () => statements ??= read("problems");

  // --- the index -------------------------------------------------------------------------------------------------

  let index, columns, protocols, places;
  let shown = [];               // numbers of the rows that pass the filters, in the order of the list
  let page = 0;
  let order = { by: "", down: false };
  let hits = new Map();         // row → where its text was found; null when nothing is searched for
  let searching = 0;

  function pieceOf(row) {
    let low = 0, high = index.pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (index.pieces[middle] <= row) low = middle; else high = middle - 1;
    }
    return low;
  }

  const textOf = async row => {
    const number = pieceOf(row);
    return (await piece(number))[row - index.pieces[number]];
  };
  const measurement = row => index.measurements[columns.measurement[row]];
  const problem = row => measurement(row).problems[columns.problem[row]];
  const outcome = (row, grader) => (index.outcomes[grader]?.[row] ?? -1) < 0 ? "not graded" : index.reasons[index.outcomes[grader][row]];
  const graderOf = row => by("grader").value || measurement(row).graders[0];  // the protocol's own judge, where none is chosen
  const verdictOf = row => {
    const verdict = index.judged[graderOf(row)]?.[row] ?? -1;
    return verdict < 0 ? "" : visible(index.verdicts[verdict]);
  };
  const disputed = row => {
    const said = index.graders.map(grader => index.outcomes[grader][row]).filter(reason => reason >= 0);
    return said.length > 1 && said.some(reason => (reason === 0) !== (said[0] === 0));
  };

  function options(select, values, all) {
    const chosen = select.value;
    select.replaceChildren(new Option(all, ""), ...values.map(value => new Option(visible(value), value)));
    select.value = values.includes(chosen) ? chosen : "";
  }

  function fillProblems() {
    const name = by("benchmark").value;
    const lists = index.measurements.filter(one => name && one.benchmark === name).map(one => one.problems);
    options(by("problem"), [...new Set(lists.flat())], name ? "any" : "choose a benchmark first");
    by("problem").disabled = !name;
  }

  // --- filters ---------------------------------------------------------------------------------------------------

  function filtered() {
    const benchmark = by("benchmark").value, model = by("model").value, problemName = by("problem").value, protocol = by("protocol").value;
    const wanted = by("outcome").value, judges = by("judges").value, grader = by("grader").value;
    const least = by("least").value === "" ? -Infinity : Number(by("least").value);
    const most = by("most").value === "" ? Infinity : Number(by("most").value);
    const fits = index.measurements.map(one => (!benchmark || one.benchmark === benchmark) && (!model || one.model === model)
      && (!protocol || one.protocol === protocol));
    const problemAt = index.measurements.map(one => problemName ? one.problems.indexOf(problemName) : -1);
    const reason = index.reasons.indexOf(wanted), verdict = index.verdicts.indexOf(wanted.replace(/^verdict /, ""));
    const graders = index.measurements.map(one => grader || one.graders[0]);
    const found = [];
    for (let row = 0; row < index.rows; row += 1) {
      const place = columns.measurement[row];
      if (!fits[place] || (problemName && columns.problem[row] !== problemAt[place])) continue;
      if (columns.tokens[row] < least || columns.tokens[row] > most) continue;
      const said = index.outcomes[graders[place]]?.[row] ?? -1;
      if (wanted === "not correct" ? said <= 0
        : wanted.startsWith("verdict ") ? (index.judged[graders[place]]?.[row] ?? -1) !== verdict
          : wanted === "not graded" ? said >= 0
            : wanted && said !== reason) continue;
      if (judges && disputed(row) !== (judges === "differ")) continue;
      found.push(row);
    }
    return found;
  }

  const keys = {
    model: row => measurement(row).model,
    protocol: row => measurement(row).protocol,
    benchmark: row => measurement(row).benchmark,
    problem: row => places[columns.measurement[row]][columns.problem[row]],
    sample: row => columns.sample[row],
    tokens: row => columns.tokens[row],
  };

  function sorted(rows) {
    if (!order.by) return rows;
    const key = order.grader === undefined ? keys[order.by] : row => outcome(row, order.grader), values = new Map(rows.map(row => [row, key(row)]));
    const compare = (a, b) => {
      const one = values.get(a), two = values.get(b);
      return one < two ? -1 : one > two ? 1 : 0;
    };
    return rows.sort((a, b) => (order.down ? -1 : 1) * compare(a, b) || a - b);
  }

  function refresh() {
    if (by("query").value) { search(); return; }
    stop();
    hits = new Map();
    by("hits").textContent = "";
    page = 0;
    shown = sorted(filtered());
    list();
  }

  // --- the list --------------------------------------------------------------------------------------------------

  // benchmark/model/problem/sample, then which measurement of that model and which of the samples of that number, where not the first
  const link = row => {
    const one = measurement(row), twin = index.twins[row] ?? 0;
    const same = index.measurements.filter(other => other.benchmark === one.benchmark && other.model === one.model);
    const parts = [one.benchmark, one.model, problem(row), columns.sample[row]];
    if (same.length > 1 || twin) parts.push(same.indexOf(one));
    if (twin) parts.push(twin);
    return `#sample/${parts.map(encodeURIComponent).join("/")}`;
  };

  function rowOf(hash) {
    let parts;
    try {
      parts = hash.slice("#sample/".length).split("/").map(decodeURIComponent);
    } catch (error) {  // a % that encodes nothing
      if (!(error instanceof URIError)) throw error;
      return -1;
    }
    const [benchmark, model, name, sample, which, twin] = parts;
    const same = index.measurements.filter(one => one.benchmark === benchmark && one.model === model);
    const place = index.measurements.indexOf(same[Number(which ?? 0)]);
    if (place < 0) return -1;
    const at = same[Number(which ?? 0)].problems.indexOf(name);
    for (let row = 0; row < index.rows; row += 1) {
      if (columns.measurement[row] === place && columns.problem[row] === at && columns.sample[row] === Number(sample)
        && (index.twins[row] ?? 0) === Number(twin ?? 0)) return row;
    }
    return -1;
  }

  function list() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(page, pages - 1);
    const rows = shown.slice(page * PAGE, (page + 1) * PAGE);
    const graders = index.graders;
    by("rows").replaceChildren(...rows.map(row => {
      const one = measurement(row);
      const open = make("a", "", visible(String(problem(row))));
      open.href = link(row);
      const cells = [
        make("td", "", visible(one.benchmark)), make("td", "", visible(one.model)),
        ...(protocols.length > 1 ? [make("td", "", visible(one.protocol))] : []), make("td", "", open),
        make("td", "number", count(columns.sample[row])), make("td", "number", count(columns.tokens[row])),
        ...graders.map(grader => {
          const said = outcome(row, grader);
          return make("td", said === "correct" ? "good" : said === "not graded" ? "muted" : "bad", said);
        }),
        make("td", "", verdictOf(row)),
      ];
      const hit = hits.get(row);
      if (hit) cells.push(make("td", "hit", hit.before, make("mark", "", hit.found), hit.after));
      const line = make("tr", row === open_ ? "open" : "", ...cells);
      return line;
    }));
    by("found").hidden = hits.size === 0;
    by("count").textContent = `${count(shown.length)} of ${count(index.rows)} samples`;
    by("page").textContent = `page ${page + 1} of ${count(pages)}`;
    by("previous").disabled = page === 0;
    by("next").disabled = page >= pages - 1;
  }

  // --- one sample ------------------------------------------------------------------------------------------------

  let open_ = -1;
  let opening = 0;

  function fact(name, ...value) {
    return make("div", "", make("dt", "", name), make("dd", "", ...value));
  }

  // Tests of a program under one grader: "PLACE:VERDICT", and what the first failing one said.
  function testResults(grader, graded) {
    const ran = graded.tests.split(" ").map(one => one.split(":"));
    const passed = ran.filter(one => one[1] === "AC").length;
    const chips = ran.map(([at, verdict]) => make("li", verdict === "AC" ? "good" : "bad", visible(`${Number(at) + 1} ${verdict}`)));
    const said = graded.failure ? [make("p", "", "The first failing test: ", make("code", "", visible(graded.failure)))] : [];
    const title = `Tests (${visible(grader)}): ${passed} of the ${ran.length} that were run passed`;
    const list = make("ol", "tests", ...chips);
    const details = make("details", "", make("summary", "", title), list, ...said);
    details.open = passed < ran.length;
    return details;
  }

  async function show(row) {
    const mine = opening += 1;
    const one = measurement(row), place = by("sample");
    const [text, known] = await Promise.all([textOf(row), problems(), drawing()]);
    if (mine !== opening) return;
    open_ = row;
    const asWritten = by("as-written").checked;
    const facts = make("dl");
    facts.append(
      fact("tokens", columns.tokens[row] ? count(columns.tokens[row]) : "not known"),
      fact("finish", columns.finish[row] < 0 ? "not known" : index.finishes[columns.finish[row]]),
      fact("seed", String(text.seed)), fact("protocol", visible(one.protocol)),
    );
    if (text.error) facts.append(fact("error", visible(text.error)));
    for (const grader of index.graders) {
      const graded = text.graded[grader];
      if (!graded) continue;
      const said = [make("strong", outcome(row, grader) === "correct" ? "good" : "bad", outcome(row, grader))];
      if (graded.extracted !== undefined) said.push(` read as ${visible(graded.extracted).slice(0, 300)}`);
      if (graded.verdict) said.push(`, verdict ${visible(graded.verdict)}, ${(graded.score * 100).toFixed(0)} % of the tests passed`);
      facts.append(fact(`${visible(grader)} grader`, ...said));
    }
    const statement = known[one.benchmark]?.[problem(row)];
    if (statement?.answer) facts.append(fact("right answer", visible(statement.answer)));
    const title = make("h3", "", visible(`${one.benchmark} · ${one.model} · problem ${problem(row)}, sample ${columns.sample[row]}`));
    title.tabIndex = -1;
    const parts = [title, facts];
    if (statement?.statement) {
      const box = make("details", "statement", make("summary", "", "Problem"), klear.statement(statement.statement, asWritten));
      box.open = true;
      parts.push(box);
    }
    const tests = index.graders.filter(grader => text.graded[grader]?.tests).map(grader => testResults(grader, text.graded[grader]));
    place.replaceChildren(...parts, ...klear.response(text.text, asWritten), ...tests);
    place.hidden = false;
    by("steps").hidden = false;
    for (const line of by("rows").rows) line.classList.toggle("open", line.querySelector("a").getAttribute("href") === location.hash);
  }

  async function follow() {
    if (!location.hash.startsWith("#sample/")) return;
    const row = rowOf(location.hash);
    if (row < 0) {
      by("sample").hidden = false;
      by("sample").replaceChildren(make("p", "note", "This report has no such sample."));
    } else await show(row).catch(failed);
    by("sample").scrollIntoView({ block: "start" });
    by("sample").querySelector("h3")?.focus({ preventScroll: true });
  }

  function step(by_) {
    const at = shown.indexOf(open_);
    const next = shown[at + by_];
    if (next === undefined) return;
    page = Math.floor((at + by_) / PAGE);
    list();
    if (location.hash === link(next)) show(next).catch(failed); else location.hash = link(next);
  }

  // --- search ----------------------------------------------------------------------------------------------------

  function stop() {
    searching += 1;
    by("hits").textContent = by("hits").textContent.replace(/, about \d+ s left$/, ", stopped");
    by("stop").hidden = true;
    by("progress").hidden = true;
  }

  async function search() {
    stop();
    const query = by("query").value, mine = searching;
    hits = new Map();
    page = 0;
    shown = sorted(filtered());
    if (!query) { by("hits").textContent = ""; list(); return; }
    const wanted = new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "iu");
    const groups = new Map();
    for (const row of [...shown].sort((a, b) => a - b)) {
      const number = pieceOf(row);
      if (groups.has(number)) groups.get(number).push(row); else groups.set(number, [row]);
    }
    const numbers = [...groups.keys()], all = shown.length;
    shown = [];
    by("stop").hidden = false;
    by("progress").hidden = false;
    for (const name of ["count", "hits"]) by(name).setAttribute("aria-live", "off");  // the end is announced, not each step
    by("progress").value = 0;
    by("progress").max = Math.max(1, numbers.length);
    const began = performance.now();
    let looked = 0, drawnAt = 0;
    const report = done => {
      shown = sorted([...hits.keys()]);
      const seconds = (performance.now() - began) / 1000;
      const left = done ? 0 : seconds / Math.max(1, looked) * (all - looked);
      by("hits").textContent = `${count(hits.size)} found in ${count(looked)} of ${count(all)} samples`
        + (done ? ` (${seconds.toFixed(1)} s)` : `, about ${Math.ceil(left)} s left`);
      list();
    };
    list();
    try {
      for (const [place, number] of numbers.entries()) {
        const texts = piece(number);
        for (const later of numbers.slice(place + 1, place + 1 + AHEAD)) piece(later).catch(() => {});
        for (const row of groups.get(number)) {
          const text = (await texts)[row - index.pieces[number]].text;
          if (mine !== searching) return;
          const match = wanted.exec(text);
          looked += 1;
          if (!match) continue;
          const at = match.index, end = at + match[0].length;
          hits.set(row, {
            before: visible(text.slice(Math.max(0, at - AROUND), at)).replaceAll("\n", " "),
            found: visible(text.slice(at, end)).replaceAll("\n", " "),
            after: visible(text.slice(end, end + AROUND)).replaceAll("\n", " "),
          });
        }
        by("progress").value = place + 1;
        if (performance.now() - drawnAt > 250) { report(false); drawnAt = performance.now(); }
      }
      for (const name of ["count", "hits"]) by(name).setAttribute("aria-live", "polite");
      report(true);
    } catch (error) {
      failed(error);
    }
    stop();
  }

  function failed(error) {
    by("problem-said").textContent = String(error.message ?? error);
    by("problem-said").hidden = false;
  }

  // --- start -----------------------------------------------------------------------------------------------------

  /** Measurement → problem → place among the problems of all benchmarks, whatever order each measurement has them in. */
  function problemPlaces() {
    const known = new Map();
    for (const one of index.measurements) {
      for (const name of one.problems) {
        const key = JSON.stringify([one.benchmark, name]);
        if (!known.has(key)) known.set(key, [benchmarkAt(one.benchmark), known.size]);
      }
    }
    const sortedKeys = [...known.keys()].sort((a, b) => known.get(a)[0] - known.get(b)[0] || known.get(a)[1] - known.get(b)[1]);
    const at = new Map(sortedKeys.map((key, place) => [key, place]));
    return index.measurements.map(one => one.problems.map(name => at.get(JSON.stringify([one.benchmark, name]))));
  }
  const benchmarkAt = name => index.measurements.findIndex(one => one.benchmark === name);

  function heading(name, text, numeric, grader) {
    const button = make("button", "sort", text);
    button.type = "button";
    const cell = make("th", numeric ? "number" : "", name ? button : text);
    cell.scope = "col";
    if (name) button.addEventListener("click", () => {
      order = { by: name, grader, down: order.by === name && order.grader === grader && !order.down };
      for (const other of by("headings").cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      shown = sorted(shown);
      page = 0;
      list();
    });
    return cell;
  }

  async function start() {
    index = await read("index");
    columns = index.columns;
    places = problemPlaces();
    options(by("benchmark"), [...new Set(index.measurements.map(one => one.benchmark))], "any");
    options(by("model"), [...new Set(index.measurements.map(one => one.model))], "any");
    protocols = [...new Set(index.measurements.map(one => one.protocol))];
    options(by("protocol"), protocols, "any");
    by("protocol").closest("label").hidden = protocols.length < 2;
    options(by("grader"), index.graders, "the protocol's own");
    const verdicts = index.verdicts.map(name => `verdict ${name}`);
    options(by("outcome"), [...index.reasons, "not correct", "not graded", ...verdicts], "any");
    fillProblems();
    const found = make("th", "", "found");
    found.scope = "col";
    found.id = "viewer-found";
    by("headings").replaceChildren(
      heading("benchmark", "benchmark"), heading("model", "model"), ...(protocols.length > 1 ? [heading("protocol", "protocol")] : []),
      heading("problem", "problem"), heading("sample", "sample", true),
      heading("tokens", "tokens", true),
      ...index.graders.map(name => heading("outcome", visible(name), false, name)), heading("", "verdict"), found,
    );
    for (const name of ["model", "protocol", "problem", "outcome", "judges", "grader", "least", "most"]) by(name).addEventListener("change", refresh);
    by("benchmark").addEventListener("change", () => { fillProblems(); refresh(); });
    by("form").addEventListener("submit", event => { event.preventDefault(); search(); });
    by("form").addEventListener("reset", () => setTimeout(() => { fillProblems(); refresh(); }));
    by("stop").addEventListener("click", stop);
    by("previous").addEventListener("click", () => { page -= 1; list(); });
    by("next").addEventListener("click", () => { page += 1; list(); });
    by("before").addEventListener("click", () => step(-1));
    by("after").addEventListener("click", () => step(1));
    by("as-written").addEventListener("change", () => { if (open_ >= 0) show(open_).catch(failed); });
    window.addEventListener("hashchange", follow);
    document.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") { stop(); return; }
      if (!by("body").contains(document.activeElement)) return;
      if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) return;
      if (event.key === "/") { event.preventDefault(); by("query").focus(); }
      if (open_ >= 0 && event.key === "j") step(1);
      if (open_ >= 0 && event.key === "k") step(-1);
    });
    by("body").hidden = false;
    refresh();
    await follow();
    document.documentElement.dataset.ready = "true";
    performance.mark("ready");
  }

  start().catch(failed);
})();
