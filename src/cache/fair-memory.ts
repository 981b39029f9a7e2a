export interface HeldCounts {
  readonly entries: number
  readonly bytes: number
  /** Thrown out to make room. */
  readonly evicted: number
  /** Not taken, because alone they would take more than a quarter of it. */
  readonly tooLarge: number
}

interface Slot<T> {
  readonly value: T
  readonly tenant: string
  readonly bytes: number
}

/**
 * So many bytes, shared by tenants. When it is full, whoever holds most gives the least recently used of his: nobody is pushed out by
 * one who asks more, and one who is alone has all of it.
 */
export class FairMemory<T> {
  readonly #maxBytes: number
  readonly #slots = new Map<string, Slot<T>>()
  /** Of each tenant, the least recently used first. */
  readonly #tenants = new Map<string, { bytes: number; readonly names: Set<string> }>()
  #bytes = 0
  #evicted = 0
  #tooLarge = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get counts(): HeldCounts {
    return {
      entries: this.#slots.size,
      bytes: this.#bytes,
      evicted: this.#evicted,
      tooLarge: this.#tooLarge,
    }
  }

  get(name: string): T | null {
    const slot = this.#slots.get(name)
    if (slot === undefined) return null
    const { names } = this.#tenants.get(slot.tenant)!
    names.delete(name)
    names.add(name)
    return slot.value
  }

  set(name: string, tenant: string, value: T, bytes: number): boolean {
    this.delete(name)
    if (bytes > this.#maxBytes / 4) {
      this.#tooLarge += 1
      return false
    }
    const held = this.#tenants.get(tenant) ?? { bytes: 0, names: new Set() }
    this.#tenants.set(tenant, held)
    this.#slots.set(name, { value, tenant, bytes })
    held.names.add(name)
    held.bytes += bytes
    this.#bytes += bytes
    if (this.#bytes > this.#maxBytes) this.#makeRoom(name)
    return true
  }

  delete(name: string): void {
    const slot = this.#slots.get(name)
    if (slot === undefined) return
    const held = this.#tenants.get(slot.tenant)!
    this.#slots.delete(name)
    held.names.delete(name)
    held.bytes -= slot.bytes
    this.#bytes -= slot.bytes
    if (held.names.size === 0) this.#tenants.delete(slot.tenant)
  }

  /** A twentieth at a time, so that the tenants are sorted seldom; never what has just come. */
  #makeRoom(newest: string): void {
    const target = this.#maxBytes * 0.95
    const byBytes = [...this.#tenants.entries()].sort(([, a], [, b]) => b.bytes - a.bytes)
    while (this.#bytes > target) {
      // whoever holds most comes first; the order is mended as far as it has changed
      for (let i = 0; i + 1 < byBytes.length && byBytes[i]![1].bytes < byBytes[i + 1]![1].bytes; i++)
        [byBytes[i], byBytes[i + 1]] = [byBytes[i + 1]!, byBytes[i]!]
      const [first] = byBytes
      if (first === undefined) return
      const { names } = first[1]
      const oldest = names.values().next().value
      if (oldest === undefined || (oldest === newest && names.size === 1)) {
        byBytes.shift()
        continue
      }
      this.delete(oldest)
      this.#evicted += 1
    }
  }
}
