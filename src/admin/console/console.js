// The console works without this file. With it: times are local, keys are copied by a click, a change is confirmed
// only by the right word, all rows are chosen at once, and / leads to the search.
"use strict";
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.valueOf())) time.textContent = at.toLocaleString();
}
for (const secret of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(secret.textContent.trim());
    button.textContent = "Copied";
  });
  secret.after(button);
}
for (const word of document.querySelectorAll("input[data-word]")) {
  const button = word.form.querySelector("button[type=submit]");
  const judge = () => { button.disabled = word.value !== word.dataset.word; };
  word.addEventListener("input", judge);
  judge();
}
for (const all of document.querySelectorAll("input[data-all]")) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const one of all.form.querySelectorAll("input[name=ids]")) one.checked = all.checked;
  });
}
for (const select of document.querySelectorAll("form.filter select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
document.addEventListener("keydown", (event) => {
  const search = document.querySelector("input[type=search]");
  const typing = /^(input|textarea|select)$/i.test(document.activeElement.tagName);
  if (event.key === "/" && search && !typing) { event.preventDefault(); search.focus(); }
});
