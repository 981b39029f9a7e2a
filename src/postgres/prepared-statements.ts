/** Each costs the server some 10 to 50 kB, and there are few texts that are marked so. */
const maxKept = 64

/** What one connection keeps parsed in the server: by text, bounded, the least recently used goes. */
export class PreparedStatements {
  /** Name by text; the least recently used first. */
  readonly #names = new Map<string, string>()
  /** To be closed in the server. */
  #stale: string[] = []
  #made = 0

  /** `isNew`: it has to be parsed under this name. */
  nameOf(text: string): { readonly name: string; readonly isNew: boolean } {
    const known = this.#names.get(text)
    if (known !== undefined) {
      this.#names.delete(text)
      this.#names.set(text, known)
      return { name: known, isNew: false }
    }
    const [oldest] = this.#names.keys()
    if (oldest !== undefined && this.#names.size >= maxKept) this.forget(oldest)
    // never used again: what a failed batch has left is not known
    const name = `tidemark_s${++this.#made}`
    this.#names.set(text, name)
    return { name, isNew: true }
  }

  forget(text: string): void {
    const name = this.#names.get(text)
    if (name === undefined) return
    this.#names.delete(text)
    this.#stale.push(name)
  }

  forgetAll(): void {
    for (const text of [...this.#names.keys()]) this.forget(text)
  }

  /** Names that the next batch has to close, once. */
  takeStale(): readonly string[] {
    if (this.#stale.length === 0) return []
    return this.#stale.splice(0)
  }
}
