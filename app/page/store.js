// What this tab remembers until it is closed. A full or forbidden storage is no reason to fail.

const NAME = "palimpsest-";

/** Keep a value; null forgets it. */
export function keep(name, value) {
  try {
    if (value === null) sessionStorage.removeItem(NAME + name);
    else sessionStorage.setItem(NAME + name, JSON.stringify(value));
  } catch {
    // kept nowhere: the page works without
  }
}

/** What was kept, or null. */
export function kept(name) {
  try {
    return JSON.parse(sessionStorage.getItem(NAME + name));
  } catch {
    return null;
  }
}
