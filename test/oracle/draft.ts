import type { StoredDefinition } from '../../src/schema/index.ts'
import { keyText, type StoredRow } from './values.ts'

/**
 * What a transaction sees and has done: a base (the shadow, or an old copy of it), rows that it took away and rows that
 * it brought. Nothing reaches the shadow before the commit.
 */
export class Draft {
  readonly definition: StoredDefinition
  readonly #base: Iterable<StoredRow>
  /** What unique keys are compared with: the newest rows, also where the base is an old copy. */
  readonly #newest: Iterable<StoredRow>
  readonly removed: Set<StoredRow>
  readonly added: Set<StoredRow>

  constructor(definition: StoredDefinition, base: Iterable<StoredRow>, newest = base) {
    this.definition = definition
    this.#base = base
    this.#newest = newest
    this.removed = new Set()
    this.added = new Set()
  }

  visible(): StoredRow[] {
    return [...this.#base].filter((row) => !this.removed.has(row)).concat([...this.added])
  }

  remove(row: StoredRow): void {
    if (!this.added.delete(row)) this.removed.add(row)
  }

  byKey(key: string | null): StoredRow | undefined {
    return key === null ? undefined : this.visible().find((row) => keyText(this.definition, row) === key)
  }

  /** False, and nothing is added, when a key is there already or comes twice. */
  add(rows: readonly StoredRow[]): boolean {
    if (this.definition.primaryKey !== null) {
      const keys = new Set<string | null>()
      for (const row of this.#newest) if (!this.removed.has(row)) keys.add(keyText(this.definition, row))
      for (const row of this.added) keys.add(keyText(this.definition, row))
      for (const row of rows) {
        const key = keyText(this.definition, row)
        if (keys.has(key)) return false
        keys.add(key)
      }
    }
    for (const row of rows) this.added.add(row)
    return true
  }

  /** A savepoint: what is given back undoes everything since. */
  save(): () => void {
    const [removed, added] = [new Set(this.removed), new Set(this.added)]
    return () => {
      this.removed.clear()
      this.added.clear()
      for (const row of removed) this.removed.add(row)
      for (const row of added) this.added.add(row)
    }
  }
}
