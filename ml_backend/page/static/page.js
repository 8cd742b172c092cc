"use strict";
// Asks before what cannot be undone, and says so where a picture is missing.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
document.addEventListener("error", (event) => {
  const image = event.target;
  if (!(image instanceof HTMLImageElement) || !image.dataset.missing) return;
  const said = document.createElement("span");
  said.className = "missing";
  said.textContent = image.dataset.missing;
  image.replaceWith(said);
}, true);
