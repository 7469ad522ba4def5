// Where two texts differ, word by word.

const MOST_WORDS = 1200;

/** Both texts as parts `{text, differs}`: what is not in their longest common subsequence of words differs. */
export function differences(left, right) {
  const [a, b] = [wordsOf(left), wordsOf(right)];
  if (a.length > MOST_WORDS || b.length > MOST_WORDS) return [
    [{ text: left, differs: left !== right }],
    [{ text: right, differs: left !== right }],
  ];
  const [inA, inB] = common(a, b);
  return [joined(a, inA), joined(b, inB)];
}

const wordsOf = (text) => text.match(/\s*(?:[\p{L}\p{N}]+|[^\s\p{L}\p{N}])|\s+$/gu) ?? [];

/** Which words of each are common to both. */
function common(a, b) {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const [inA, inB] = [new Set(), new Set()];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) {
      inA.add(i++);
      inB.add(j++);
    } else if (lengths[i + 1][j] >= lengths[i][j + 1]) i += 1;
    else j += 1;
  }
  return [inA, inB];
}

function joined(words, shared) {
  const parts = [];
  words.forEach((text, index) => {
    const differs = !shared.has(index);
    if (parts.at(-1)?.differs === differs) parts.at(-1).text += text;
    else parts.push({ text, differs });
  });
  return parts;
}
