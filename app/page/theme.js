// Before the first paint: the colours that were chosen here, or else the system's.
"use strict";

{
  const KEY = "palimpsest-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is shut: the choice lasts as long as the page
    }
  };
  const shown = () => root.dataset.theme ?? (system.matches ? "dark" : "light");
  const other = () => (shown() === "dark" ? "light" : "dark");
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const tell = () => {
      button.textContent = other() === "dark" ? "Dark" : "Light";
      button.setAttribute("aria-label", `${button.textContent}: change the colours`);
    };
    button.addEventListener("click", () => {
      root.dataset.theme = other();
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // as above
      }
      tell();
    });
    system.addEventListener("change", tell);
    tell();
  });
}
