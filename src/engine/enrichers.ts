import { createEnricher, type Enricher } from '../enrich/index.ts'
import type { EnrichOptions, StoredDefinition } from '../schema/index.ts'

/** The steps of `ingest.enrich`, opened when rows come for their table, or before. */
export class Enrichers {
  readonly #options: ReadonlyMap<string, EnrichOptions>
  readonly #dir: string
  readonly #open = new Map<string, Promise<Enricher>>()

  /** @param dir what paths in steps are relative to */
  constructor(options: readonly EnrichOptions[], dir: string) {
    this.#options = new Map(options.map((one) => [one.into.name, one]))
    this.#dir = dir
  }

  /**
   * Null: the table has no steps.
   *
   * @throws TidemarkError TM_CONFIG when a file or package that a step needs is not there; the next call looks again.
   */
  of({ name }: StoredDefinition): Promise<Enricher> | null {
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const options = this.#options.get(name)
    if (options === undefined) return null
    const opening = createEnricher(options.into, options.steps, this.#dir)
    this.#open.set(name, opening)
    opening.catch(() => this.#open.delete(name))
    return opening
  }

  async openAll(): Promise<void> {
    for (const { into } of this.#options.values()) await this.of(into)
  }
}
