import { TidemarkError } from '../util/errors.ts'

/**
 * Collects everything that is wrong with one declaration, so that it is reported in one error and corrected in one go.
 */
export class ProblemList {
  readonly #root: string
  readonly #problems: { readonly path: string; readonly problem: string }[] = []

  /** `root` names the declaration: `hypertable("metrics.cpu")`. */
  constructor(root: string) {
    this.#root = root
  }

  get isEmpty(): boolean {
    return this.#problems.length === 0
  }

  /** `path` is below the root: `.columns.usage`, or empty. */
  add(path: string, problem: string): void {
    this.#problems.push({ path: `${this.#root}${path}`, problem })
  }

  /** Throws one error with every problem; the first one's path leads. */
  assertEmpty(code: 'TM_DECLARATION' | 'TM_CONFIG'): void {
    const [first, ...others] = this.#problems
    if (first === undefined) return
    const problem = [first.problem, ...others.map((p) => `${p.path}: ${p.problem}`)].join('\n')
    throw new TidemarkError(code, { path: first.path, problem })
  }
}

/** `, did you mean "retain"?` when a known word is close, else the list of known words. */
export function suggest(word: string, known: readonly string[]): string {
  let best: string | null = null
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  if (best !== null) return `; did you mean "${best}"?`
  return known.length === 0 ? '' : `; known: ${known.join(', ')}`
}

/** Damerau-Levenshtein (optimal string alignment). Words are short, so the simple table is enough. */
function editDistance(a: string, b: string): number {
  if (a.length > 64 || b.length > 64) return Number.POSITIVE_INFINITY
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(
        (last[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (last[j - 1] as number) + (same ? 0 : 1),
      )
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] as number) + 1)
      }
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] as number
}

/** Adds a problem for each key of `options` that is not known. False when `options` is no object at all. */
export function checkKeys(
  problems: ProblemList,
  path: string,
  options: unknown,
  known: readonly string[],
): options is Record<string, unknown> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    problems.add(path, `must be an object with the options ${known.join(', ')}`)
    return false
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) problems.add(`${path}.${key}`, `unknown option${suggest(key, known)}`)
  }
  return true
}
