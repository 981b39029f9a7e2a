import type { Instant } from '../time/index.ts'

/** A row of a live answer. */
export interface LiveItem {
  /** What tells it from the others: bucket and group, or its primary key, as JSON text. */
  readonly key: string
  /** The row as JSON. */
  readonly text: string
  /** Start of its bucket; null where there is none. */
  readonly bucket: Instant | null
}

const keptDifferences = 8

/** A live answer as it was at some time. What is equal to the version before shares its items. */
export class Version {
  readonly number: number
  /** Names a moment of this question: `<question>.<number>`. */
  readonly resume: string
  /** ISO: everything that was committed before is in it. */
  readonly asOf: string
  readonly items: readonly LiveItem[]
  /** As JSON: name, type and nullability of each column. */
  readonly columns: string
  readonly bytes: number
  #whole: string | null = null
  readonly #differences = new Map<number, string>()

  constructor(parts: Pick<Version, 'number' | 'resume' | 'asOf' | 'items' | 'columns'>) {
    this.number = parts.number
    this.resume = parts.resume
    this.asOf = parts.asOf
    this.items = parts.items
    this.columns = parts.columns
    this.bytes = parts.items.reduce((sum, { key, text }) => sum + key.length + text.length + 64, 0)
  }

  /** The inside of an `answer` message. */
  get whole(): string {
    this.#whole ??=
      `"type":"answer",${this.#head},"columns":${this.columns},` +
      `"rows":[${this.items.map(({ key, text }) => `[${JSON.stringify(key)},${text}]`).join(',')}]`
    return this.#whole
  }

  /** The inside of a `change` message: from an older version of the same question to this one. */
  since(older: Version): string {
    let body = this.#differences.get(older.number)
    if (body === undefined) {
      const { removed, set } = difference(older.items, this.items)
      const rows = set.map((at) => {
        const { key, text } = this.items[at] as LiveItem
        return `[${at},${JSON.stringify(key)},${text}]`
      })
      body = `"type":"change",${this.#head},"removed":${JSON.stringify(removed)},"set":[${rows.join(',')}]`
      // most readers are where most others are
      if (this.#differences.size >= keptDifferences) this.#differences.clear()
      this.#differences.set(older.number, body)
    }
    return body
  }

  /** Not the newest any more: what was written out for those who had just come is not needed. */
  retire(): void {
    this.#whole = null
    this.#differences.clear()
  }

  get #head(): string {
    return `"resume":"${this.resume}","asOf":"${this.asOf}"`
  }
}

/**
 * What makes `after` of `before`: take `removed` and the keys of `set` away, then put each row of `set` at its place, in ascending
 * order of places. Rows that stay where they are among those that stay are left out; so few are moved as can be.
 */
export function difference(
  before: readonly LiveItem[],
  after: readonly LiveItem[],
): { readonly removed: readonly string[]; readonly set: readonly number[] } {
  const places = new Map(before.map(({ key }, i) => [key, i]))
  const old = after.map(({ key }) => places.get(key) ?? -1)
  const stays = longestAscending(old)
  const set: number[] = []
  after.forEach((item, i) => {
    places.delete(item.key)
    const was = old[i] as number
    if (!stays[i] || (before[was] as LiveItem).text !== item.text) set.push(i)
  })
  return { removed: [...places.keys()], set }
}

/** Which of the places (-1: none) are part of a longest ascending sequence. */
function longestAscending(places: readonly number[]): readonly boolean[] {
  /** By length: index of the sequence's last member, the smallest that there is. */
  const ends: number[] = []
  const previous = new Int32Array(places.length).fill(-1)
  places.forEach((place, i) => {
    if (place < 0) return
    let low = 0
    let high = ends.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((places[ends[middle] as number] as number) < place) low = middle + 1
      else high = middle
    }
    if (low > 0) previous[i] = ends[low - 1] as number
    ends[low] = i
  })
  const stays = Array<boolean>(places.length).fill(false)
  for (let i = ends.at(-1) ?? -1; i >= 0; i = previous[i] as number) stays[i] = true
  return stays
}
