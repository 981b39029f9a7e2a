import type { Tier } from '../../src/query/index.ts'
import type { HypertableDefinition } from '../../src/schema/index.ts'
import type { TimeRange } from '../../src/time/index.ts'
import { createMemoryTier, type MemoryTierOptions } from './memory-tier.ts'
import { naiveInstant } from './naive-time.ts'

type Row = Readonly<Record<string, unknown>>

export interface SplitOptions {
  readonly dataset: HypertableDefinition
  readonly rows: readonly Row[]
  /** Gives numbers from 0 to below 1. */
  readonly random: () => number
  /** Where stretches may begin and end; rows outside belong to the first share alone. */
  readonly within: TimeRange
  /** For each tier. */
  readonly maxPageRows?: number
  /** A third tier that holds all rows of some stretches, dear or cheap. Default false. */
  readonly withCopy?: boolean
}

/**
 * Two tiers that share the rows of a table at random: in some stretches one has all of them, in others the other, and
 * in others each row lies in one of the two. The answer of both together has to be that of the table.
 *
 * @example
 * executeQuery(node, { tiers: createSplitTiers({ dataset, rows, random, within }), … })
 */
export function createSplitTiers(options: SplitOptions): Tier[] {
  const { dataset, rows, random, within } = options
  const width = within.to - within.from
  const instant = (): bigint => within.from + BigInt(Math.floor(random() * 1_000_000)) * (width / 1_000_000n)
  const inner = Array.from({ length: 1 + Math.floor(random() * 8) }, instant)
  const borders = [...new Set([within.from, ...inner, within.to])].sort((a, b) => (a < b ? -1 : 1))
  const stretches = borders.slice(1).map((to, i) => ({
    range: { from: borders[i] as bigint, to },
    kind: (['first', 'second', 'both', 'both'] as const)[Math.floor(random() * 4)] as string,
    isCopied: random() < 0.3,
  }))
  const timeOf = (row: Row): bigint => naiveInstant(row[dataset.time])
  const stretchOf = (row: Row) => {
    const time = timeOf(row)
    return stretches.find(({ range }) => time >= range.from && time < range.to)
  }
  const first: Row[] = []
  const second: Row[] = []
  for (const row of rows) {
    const kind = stretchOf(row)?.kind ?? 'first'
    const isFirst = kind === 'first' || (kind === 'both' && random() < 0.5)
    ;(isFirst ? first : second).push(row)
  }
  const covered = (kinds: readonly string[]): TimeRange[] =>
    stretches.filter(({ kind }) => kinds.includes(kind)).map(({ range }) => range)
  const outside = {
    before: { from: within.from - 10n ** 17n, to: within.from },
    behind: { from: within.to, to: within.to + 10n ** 17n },
  }
  const page: Pick<MemoryTierOptions, 'maxPageRows'> =
    options.maxPageRows === undefined ? {} : { maxPageRows: options.maxPageRows }
  const tiers = [
    createMemoryTier({
      ...page,
      dataset,
      name: 'first',
      rows: first,
      holds: 'share',
      coverage: [outside.before, ...covered(['first', 'both']), outside.behind],
    }),
    createMemoryTier({
      ...page,
      dataset,
      name: 'second',
      rows: second,
      holds: 'share',
      coverage: covered(['second', 'both']),
    }),
  ]
  if (options.withCopy)
    tiers.push(
      createMemoryTier({
        ...page,
        dataset,
        name: 'copy',
        rows,
        coverage: stretches.filter(({ isCopied }) => isCopied).map(({ range }) => range),
        estimatedRows: random() < 0.7 ? 0 : 1_000_000,
        pieces: 0,
        cannot: ({ by }) => (by.length > 1 ? 'it has one group at the most' : null),
      }),
    )
  return tiers
}

/** A generator of numbers that a seed repeats: mulberry32, Tommy Ettinger, public domain. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
