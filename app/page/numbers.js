// Numbers and times as people read them.

/** A probability or share as a percentage. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  if (share < 1 && share > 0.999) return ">\u00a099.9\u00a0%";
  return `${(share * 100).toFixed(share === 0 || share === 1 ? 0 : 1)}\u00a0%`;
}

/** A small or large number with three significant digits. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 100000)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/** "1 fact", "3 facts". */
export function count(number, noun, plural = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

/** When it was, as far from now as one thinks of it. */
export function ago(when) {
  const seconds = (Date.now() - Date.parse(when)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(when).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

/** A norm over all layers. */
export function total(norms) {
  return Math.sqrt(Object.values(norms ?? {}).reduce((sum, norm) => sum + norm * norm, 0));
}
