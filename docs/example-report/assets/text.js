// Shows what a model wrote: thinking folded, formulas drawn, programs coloured, long texts a part at a time.
// Model text is hostile.  It becomes text nodes, and the arguments of KaTeX (which trusts nothing) and of Prism's
// tokeniser (which returns plain tokens); no HTML is ever made from it.
"use strict";
window.klear = window.klear || {};
(() => {
  const PART = 20_000;          // characters drawn at a time
  const PART_AS_WRITTEN = 200_000;
  const LONGEST_FORMULA = 3_000;
  const MOST_FORMULAS = 400;    // in a part
  const MOST_TIME = 1000;       // milliseconds for the formulas of a part; the rest stay as they were written
  const CLOSE = "</think>", OPEN = "<think>";
  const MARKED = new RegExp([
    "```([^\\n`]{0,40})\\n([\\s\\S]*?)(?:\\n```|$)",
    `\\$\\$([^$]{1,${LONGEST_FORMULA}}?)\\$\\$`,
    `\\\\\\[([\\s\\S]{1,${LONGEST_FORMULA}}?)\\\\\\]`,
    `\\\\\\(([\\s\\S]{1,${LONGEST_FORMULA}}?)\\\\\\)`,
    "\\$(?=[^\\s$])([^$\\n]{0,400}[^\\s$\\\\])\\$(?!\\d)",
  ].join("|"), "g");

  // Characters that act without being seen are written out, as in ⟦U+202E⟧ (reports/text.py does the same).
  function visible(text) {
    return text.replaceAll("\r\n", "\n").replace(/[\p{C}\p{Zl}\p{Zp}]/gu, character =>
      character === "\n" || character === "\t" ? character
        : `⟦U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`);
  }

  function make(name, className, ...children) {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.append(...children);
    return element;
  }

  function formula(source, written, display) {
    const place = make("span", display ? "formula display" : "formula");
    try {
      window.katex.render(source, place, {
        displayMode: display, throwOnError: false, trust: false, strict: "ignore", maxSize: 20, maxExpand: 100, errorColor: "inherit",
      });
    } catch (error) {  // nested too deeply for it: shown as it was written
      if (!(error instanceof RangeError)) throw error;
      place.replaceChildren(written);
    }
    return place;
  }

  function coloured(tokens, parent) {
    for (const token of Array.isArray(tokens) ? tokens : [tokens]) {
      if (typeof token === "string") parent.append(token);
      else {
        const span = make("span", `token-${/^[a-z-]+$/.test(token.type) ? token.type : "plain"}`);
        coloured(token.content, span);
        parent.append(span);
      }
    }
  }

  function program(source, language) {
    const code = make("code");
    if (window.Prism && /^(python|py|python3)?$/i.test(language.trim())) coloured(Prism.tokenize(source, Prism.languages.python), code);
    else code.append(source);
    const block = make("pre", "program", code);
    block.tabIndex = 0;
    return block;
  }

  function drawn(text) {
    const parts = document.createDocumentFragment();
    const began = performance.now();
    let from = 0, formulas = 0;
    for (const found of text.matchAll(MARKED)) {
      const [written, language, source, dollars, brackets, round, dollar] = found;
      const tex = dollars ?? brackets ?? round ?? dollar;
      if (tex !== undefined && (!window.katex || ++formulas > MOST_FORMULAS || performance.now() - began > MOST_TIME)) continue;
      parts.append(text.slice(from, found.index));
      parts.append(tex === undefined ? program(source, language) : formula(tex, written, (dollars ?? brackets) !== undefined));
      from = found.index + written.length;
    }
    parts.append(text.slice(from));
    return parts;
  }

  function cutAt(text, from, length) {
    if (from + length >= text.length) return text.length;
    const line = text.lastIndexOf("\n", from + length);
    let end = line > from + length / 2 ? line + 1 : from + length;
    if (/[\uD800-\uDBFF]/.test(text[end - 1])) end += 1;  // not between two halves of a character
    return end;
  }

  function fill(place, text, asWritten) {
    let shown = 0;
    const more = make("button", "more");
    more.type = "button";
    const next = () => {
      const end = cutAt(text, shown, asWritten ? PART_AS_WRITTEN : PART);
      const part = visible(text.slice(shown, end));
      more.before(asWritten ? part : drawn(part));
      shown = end;
      const left = text.length - shown;
      if (left === 0) more.remove();
      else more.textContent = `Show more (${left.toLocaleString("en")} characters are left)`;
    };
    more.addEventListener("click", next);
    place.replaceChildren(more);
    next();
  }

  function folded(title, text, asWritten) {
    const body = make("div", "written");
    body.dir = "ltr";
    const details = make("details", "", make("summary", "", title), body);
    details.addEventListener("toggle", () => {
      if (details.open && !body.hasChildNodes()) fill(body, text, asWritten);
    });
    return details;
  }

  // Elements that show a response: its thinking folded, then what stands after it.
  klear.response = (text, asWritten) => {
    const body = make("div", "written");
    body.dir = "ltr";
    const closed = text.lastIndexOf(CLOSE), opened = text.lastIndexOf(OPEN);
    const size = length => `${length.toLocaleString("en")} characters`;
    if (opened > closed) {
      const before = text.slice(0, opened), thinking = text.slice(opened + OPEN.length);
      fill(body, before, asWritten);
      return [...(before.trim() ? [body] : []), folded(`Thinking that was never closed (${size(thinking.length)})`, thinking, asWritten)];
    }
    if (closed < 0) {
      fill(body, text, asWritten);
      return [body];
    }
    const thinking = text.slice(text.startsWith(OPEN) ? OPEN.length : 0, closed);
    fill(body, text.slice(closed + CLOSE.length).replace(/^\n+/, ""), asWritten);
    return [folded(`Thinking (${size(thinking.length)})`, thinking, asWritten), body];
  };

  klear.statement = (text, asWritten) => {
    const body = make("div", "written");
    body.dir = "ltr";
    fill(body, text, asWritten);
    return body;
  };

  klear.visible = visible;
  klear.make = make;
})();
