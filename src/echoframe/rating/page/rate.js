"use strict";

const WORDS = ["bad", "poor", "fair", "good", "excellent"];
const ASKED = {
  quality: "How good does it sound?",
  relevance: "How well does the sound fit what it belongs to?",
  synchrony: "How well does the sound keep time with the picture?",
  preference: "Which do you prefer?",
};
const NOT_ALL = "Part of it was skipped or played faster. Please hear all of it at its own speed.";
const SLACK_S = 0.3, SLACK = 0.05;  // of a sound's duration: clocks of players tick four times a second
const TICK_S = 0.25;
const HERE = location.pathname.replace(/\/$/, "");
const at = (id) => document.getElementById(id);
const seen = (id) => { for (const other of ["intro", "item", "done"]) at(other).hidden = other !== id; };

let study, place = 0, heard = new Set();

const isDone = (item) => study.questions.every((question) => question in item.answers);

function make(tag, values = {}, ...children) {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children);
  return made;
}

function choices(question) {
  if (question === "preference") return [["A", "A", ""], ["same", "no difference", ""], ["B", "B", ""]];
  return WORDS.map((word, n) => [n + 1, String(n + 1), word]);
}

function ask(question, item) {
  const options = choices(question).map(([value, title, word]) => make("label", {},
    make("input", { type: "radio", name: question, value: String(value), checked: item.answers[question] === value }),
    make("span", { textContent: title }), make("small", { textContent: word })));
  return make("fieldset", {}, make("legend", { textContent: ASKED[question] }), make("div", { className: "choices" }, ...options));
}

function player(name, n, item) {
  const isFilm = !name.endsWith(".wav");
  const media = make(isFilm ? "video" : "audio", { src: `${HERE}/media/${name}`, controls: true, preload: "auto" });
  if (isFilm) media.playsInline = true;
  countHeard(media, () => { heard.add(n); update(item); });
  media.addEventListener("play", () => {
    for (const other of document.querySelectorAll("video, audio")) if (other !== media) other.pause();
  });
  media.addEventListener("error", () => { at("trouble").textContent = "This sound cannot be played here. Please try another browser."; });
  const title = item.media.length > 1 ? "AB"[n] : "";
  return make("figure", {}, make("figcaption", { textContent: title }), media);
}

// Calls whenHeard once every part of it was heard at its own speed: what is played faster or skipped is not, and a part that is
// heard again counts once. parts: [begin, end] in seconds, apart and in order.
function countHeard(media, whenHeard) {
  let parts = [], from = null;
  const start = () => { from = { place: media.currentTime, at: performance.now() }; };
  const count = () => {
    if (from === null) return;
    const played = media.currentTime - from.place, passed = (performance.now() - from.at) / 1000;
    if (played > 0 && played <= passed + TICK_S && media.playbackRate <= 1) parts = joined(parts, [from.place, media.currentTime]);
    start();
    const heardS = parts.reduce((sum, [begin, end]) => sum + end - begin, 0);
    if (heardS >= media.duration - Math.max(SLACK_S, SLACK * media.duration)) whenHeard();
  };
  media.addEventListener("playing", start);
  media.addEventListener("timeupdate", count);
  media.addEventListener("ratechange", () => { from = null; if (!media.paused) start(); });
  media.addEventListener("seeking", () => { from = null; });
  media.addEventListener("seeked", () => { if (!media.paused) start(); });
  media.addEventListener("pause", () => { count(); from = null; });
  media.addEventListener("ended", () => {
    count();
    from = null;
    if (at("next").disabled && document.querySelector("fieldset:disabled")) at("hint").textContent = NOT_ALL;
  });
}

// The parts and one more, apart and in order.
function joined(parts, one) {
  const found = [];
  for (const [begin, end] of [...parts, one].sort((a, b) => a[0] - b[0])) {
    const last = found[found.length - 1];
    if (last && begin <= last[1]) last[1] = Math.max(last[1], end);
    else found.push([begin, end]);
  }
  return found;
}

function update(item) {
  const isHeard = heard.size === item.media.length || isDone(item);
  at("hint").textContent = isHeard ? "" : item.media.length > 1 ? "Listen to both to the end, then answer." : "Listen to the end, then answer.";
  for (const fieldset of document.querySelectorAll("fieldset")) fieldset.disabled = !isHeard;
  at("next").disabled = !isHeard || study.questions.some((question) => !at("item").elements[question].value);
}

function show(n) {
  place = n;
  heard = new Set();
  at("trouble").textContent = "";
  at("progress").hidden = false;
  at("progress").value = study.items.filter(isDone).length / study.items.length;
  if (n >= study.items.length) {
    at("place").textContent = "";
    return seen("done");
  }
  const item = study.items[n];
  at("place").textContent = `${n + 1} of ${study.items.length}`;
  at("label").textContent = item.label ? `What it belongs to: ${item.label}` : "";
  at("media").replaceChildren(...item.media.map((name, side) => player(name, side, item)));
  at("questions").replaceChildren(...study.questions.map((question) => ask(question, item)));
  at("back").disabled = n === 0;
  update(item);
  seen("item");
}

async function save(event) {
  event.preventDefault();
  const item = study.items[place], answers = {};
  for (const question of study.questions) {
    const value = at("item").elements[question].value;
    answers[question] = question === "preference" ? value : Number(value);
  }
  at("next").disabled = true;
  try {
    const sent = await fetch(`${HERE}/answers`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ item: item.id, answers }),
    });
    if (!sent.ok) throw new Error(await sent.text());
    item.answers = answers;
    show(place + 1);
  } catch (error) {
    at("trouble").textContent = `Your answer is not saved yet (${error.message}). Please press Next again.`;
    at("next").disabled = false;
  }
}

async function begin() {
  const found = await fetch(`${HERE}/state`);
  if (!found.ok) throw new Error(await found.text());
  study = await found.json();
  document.title = at("title").textContent = study.title;
  at("task").textContent = study.kind === "pairs"
    ? `You will hear ${study.items.length} pairs of sounds, and say of each pair which you prefer.`
    : `You will hear ${study.items.length} sounds, and rate each from 1 (bad) to 5 (excellent).`;
  at("beeps").hidden = !study.checks;
  at("beeps").textContent = study.kind === "pairs"
    ? "Now and then there are only beeps: then choose the side with more of them."
    : "Now and then there are only beeps: then give their number as the answer to every question.";
  const next = study.items.findIndex((item) => !isDone(item));
  at("start").textContent = study.items.some(isDone) ? "Continue" : "Start";
  at("start").addEventListener("click", () => show(next < 0 ? study.items.length : next));
  at("back").addEventListener("click", () => show(place - 1));
  at("again").addEventListener("click", () => show(0));
  at("item").addEventListener("submit", save);
  at("item").addEventListener("change", () => update(study.items[place]));
  seen("intro");
}

begin().catch((error) => { at("place").textContent = `This page could not be loaded (${error.message}). Please load it again.`; });
