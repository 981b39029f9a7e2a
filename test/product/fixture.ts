import fc from 'fast-check'
import { createEventStore } from '../../src/lake/index.ts'
import {
  askProduct,
  type EventsAnswer,
  type ProductContext,
  type ProductKind,
  type ProductQuestions,
} from '../../src/product/index.ts'
import { type ColumnRef, evaluateFilter, queryLimits } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import type { ColdFixture } from '../lake/cold-fixture.ts'

export const visits = hypertable('web.visits', {
  columns: {
    at: t.timestamptz(),
    who: t.text().nullable(),
    device: t.text().nullable(),
    what: t.text(),
    visit: t.text().nullable(),
    page: t.text().nullable(),
    plan: t.text().nullable(),
    props: t.jsonb().nullable(),
  },
  time: 'at',
  chunk: '1 day',
  events: { user: 'who', anonymous: 'device', event: 'what', page: 'page' },
})

export interface Visit {
  readonly at: bigint
  readonly who: string | null
  readonly device: string | null
  readonly what: string
  readonly visit: string | null
  readonly page: string | null
  readonly plan: string | null
  readonly props: { readonly n: number } | null
}

export const minute = 60_000_000n
export const day = 1440n * minute
/** Two days before Berlin's clocks go forward, so that a random stream has a day of 23 hours. */
export const start = parseInstant('2026-03-27T00:00:00Z')

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null, freq: 4 })
const pick = <const T extends string>(...names: readonly T[]) => fc.constantFrom(...names)

/** Few users, names and moments, so that there are ties of every kind. */
export function visitArbitrary(days: number): fc.Arbitrary<Visit> {
  return fc.record({
    at: fc
      .tuple(
        fc.integer({ min: 0, max: days * 24 - 1 }),
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 0, max: 1 }),
      )
      .map(
        ([hours, quarters, micros]) => start + BigInt(hours * 60 + quarters * 15) * minute + BigInt(micros),
      ),
    who: maybe(pick('ann', 'bob', 'cid', 'dan')),
    device: maybe(pick('d1', 'd2', 'ann')),
    what: pick('view', 'add', 'buy'),
    visit: maybe(pick('s1', 's2', 's3', 's4')),
    page: maybe(pick('/', '/a', '/b', '/c')),
    plan: maybe(pick('free', 'paid')),
    // numbers with a fraction are read differently by DuckDB, and have to be looked at in TypeScript
    props: maybe(fc.record({ n: fc.constantFrom(0, 1, 2, 2.5, 3) })),
  })
}

export const limits = queryLimits({})

/** Asks a question over rows of which some are in files and the others in an array, as if that were PostgreSQL. */
export async function askSplit<K extends ProductKind>(
  kind: K,
  input: ProductQuestions<typeof visits>[K]['input'],
  fixture: ColdFixture,
  hotRows: readonly Visit[],
  options: {
    readonly now?: bigint
    readonly computeIn?: 'duckdb' | 'typescript'
    readonly limits?: ProductContext['limits']
    readonly maxHotRows?: number
  } = {},
): Promise<EventsAnswer<ProductQuestions[K]['row']>> {
  const store = createEventStore({
    duckdb: fixture.duckdb,
    store: fixture.store,
    maxHotRows: options.maxHotRows ?? 1_000_000,
    computeIn: options.computeIn ?? 'duckdb',
    async *hot({ range, where, flags, texts }) {
      const wanted = hotRows.flatMap((row) => {
        const read = ({ column, path }: ColumnRef): unknown => {
          const value = column === 'at' ? row.at : row[column as keyof Visit]
          return path.length === 0 ? value : ((value as Record<string, unknown> | null)?.[path[0]!] ?? null)
        }
        const operandOf = (ref: ColumnRef) => ({
          type: visits.columns[ref.column as keyof Visit].type,
          value: read(ref),
        })
        if (row.at < range.from || row.at >= range.to) return []
        if (where && evaluateFilter(where, operandOf) !== true) return []
        let mask = 0
        for (const [i, flag] of flags.entries()) if (evaluateFilter(flag, operandOf) === true) mask |= 1 << i
        const found = texts.map(({ refs }) => {
          const value = refs.map(read).find((one) => one !== null)
          return value === undefined ? null : String(value)
        })
        return [[row.at, mask, ...found] as const]
      })
      for (let i = 0; i < wanted.length; i += 7) yield wanted.slice(i, i + 7)
    },
  })
  return askProduct(kind, input, {
    dataset: visits,
    clock: fixedClock(options.now ?? start + 1000n * day),
    limits: options.limits ?? limits,
    store,
    uniques: () => Promise.reject(new Error('there is no planner here')),
    scan: { snapshot: fixture.snapshot(), signal: null },
  })
}
