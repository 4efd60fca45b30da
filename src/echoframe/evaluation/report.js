// A film without its own sound, and the sound that was chosen, in step. The sound is the clock: a picture that runs a little
// faster or slower for a moment is not seen, a sound that does is heard.
"use strict";
const CLOSE_S = 0.01, FAR_S = 0.25, MOST = 0.3, EVERY_MS = 30;

function keepInStep(video, audio) {
  if (video.paused || video.seeking || video.ended) return;
  if (audio.error || audio.ended || !audio.src) { video.playbackRate = 1; return; }
  if (audio.readyState < 3 || audio.seeking) { video.playbackRate = 0; return; }  // waits for the sound
  if (audio.paused) audio.play().catch(() => {});
  const apart = audio.currentTime - video.currentTime;
  if (Math.abs(apart) > FAR_S) audio.currentTime = video.currentTime;
  video.playbackRate = Math.abs(apart) < CLOSE_S ? 1 : 1 + Math.max(-MOST, Math.min(MOST, 8 * apart));
}

function prepare(clip) {
  const video = clip.querySelector("video"), audio = clip.querySelector("audio"), trouble = clip.querySelector(".trouble");
  const complain = (words) => { trouble.textContent = words; trouble.hidden = false; };

  function choose(input) {
    const goesOn = video ? !video.paused : !audio.paused;
    const at = video ? video.currentTime : audio.currentTime;
    trouble.hidden = true;
    audio.src = input.dataset.sound;
    if (!goesOn) return;
    audio.currentTime = at;
    audio.play().catch(() => {});
  }

  for (const input of clip.querySelectorAll("input")) input.addEventListener("change", () => choose(input));
  choose(clip.querySelector("input:checked"));
  audio.addEventListener("error", () => complain("This browser cannot play the sound; open its file instead."));
  (video || audio).addEventListener("play", () => {
    for (const other of document.querySelectorAll("video, audio")) if (!clip.contains(other)) other.pause();
  });
  if (!video) return;
  const follow = () => {
    audio.currentTime = video.currentTime;
    if (!video.paused) audio.play().catch(() => {});
  };
  let timer = 0;
  video.muted = true;
  video.addEventListener("play", () => {
    follow();
    clearInterval(timer);
    timer = setInterval(() => keepInStep(video, audio), EVERY_MS);
  });
  video.addEventListener("seeked", follow);
  for (const stop of ["pause", "seeking", "waiting", "ended"]) video.addEventListener(stop, () => audio.pause());
  for (const stop of ["pause", "ended"]) video.addEventListener(stop, () => clearInterval(timer));
  // the loudspeaker of the film's controls stands for the sound
  video.addEventListener("volumechange", () => {
    audio.volume = video.volume;
    if (video.muted) return;
    audio.muted = !audio.muted;
    video.muted = true;
  });
  video.addEventListener("error", () => {
    complain("This browser cannot show the film; the sounds can be heard alone.");
    audio.controls = true;
  });
}

for (const clip of document.querySelectorAll(".clip")) prepare(clip);

function tellOfHiddenColumns() {
  for (const wide of document.querySelectorAll(".wide")) {
    wide.previousElementSibling.hidden = wide.scrollWidth <= wide.clientWidth + 1;
  }
}
addEventListener("resize", tellOfHiddenColumns);
tellOfHiddenColumns();
