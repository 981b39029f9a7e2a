import { continuousAggregate } from '../../src/continuous/index.ts'
import type { Tidemark } from '../../src/engine.ts'
import { count, last, max, sum, topK, uniques } from '../../src/query/index.ts'
import { defineConfig, hypertable, type TenantScope, t, table } from '../../src/schema/index.ts'
import { fixedClock, formatInstant, parseInstant } from '../../src/time/index.ts'
import { createRandom } from '../helpers/split-tiers.ts'

/** Three tenants with rows in every place that rows can be in: the same names and times, and values that only one of them has. */

export const visits = hypertable('site.visits', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    user_id: t.text(),
    name: t.text(),
    page: t.text().nullable(),
    project: t.int4(),
    secret: t.text(),
    big: t.int8().nullable(),
    amount: t.float8().nullable(),
    price: t.numeric(20, 2).nullable(),
    props: t.jsonb().nullable(),
    labels: t.textArray().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  orderBy: ['name', 'time'],
  chunk: '1 day',
  changeCell: '1 hour',
  events: { user: 'user_id', event: 'name', page: 'page' },
})

export const meters = hypertable('site.meters', {
  columns: { time: t.timestamptz(), owner: t.int8(), meter: t.text(), reading: t.int8() },
  time: 'time',
  tenant: 'owner',
  primaryKey: ['owner', 'meter', 'time'],
  chunk: '1 day',
})

/** Of many rows, so that files of it have summaries. */
export const ticks = hypertable('site.ticks', {
  columns: { time: t.timestamptz(), tenant: t.text(), value: t.int4() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})

export const projects = table('site.projects', {
  columns: { tenant: t.text(), id: t.int4(), title: t.text(), note: t.text().nullable() },
  tenant: 'tenant',
  primaryKey: ['tenant', 'id'],
})

/** Of nobody: everybody reads it. */
export const plans = table('site.plans', {
  columns: { plan: t.text(), price: t.int4() },
  primaryKey: ['plan'],
})

export const hourly = continuousAggregate('site.hourly', {
  from: visits,
  bucket: '1 hour',
  by: ['name', 'project'],
  select: {
    n: count(),
    amount: sum('amount'),
    big: max('big'),
    latest: last('secret'),
    users: uniques('user_id'),
    secrets: topK('secret', 3),
  },
  dimensions: {
    title: { table: projects, on: { tenant: 'tenant', id: 'project' }, column: 'title' },
  },
})

export const clock = fixedClock(parseInstant('2026-03-05T12:00:00Z'))

export const worldConfig = defineConfig({
  datasets: [visits, meters, ticks, projects, plans, hourly],
  lake: { dir: 'lake', threads: 1, summaryShare: 1 },
})

export type Row = Readonly<Record<string, unknown>>

/** Everything of one tenant, and what only it has. */
export interface Party {
  readonly tenant: string
  /** The same person for the table whose tenants are numbers. */
  readonly owner: string
  readonly scope: TenantScope
  readonly ownerScope: TenantScope
  readonly mark: string
  readonly rows: Readonly<Record<string, Row[]>>
}

const names = ['visit', 'signup', 'buy'] as const
const pages = ['/', '/prices', '/docs'] as const

export class World {
  readonly seed: number
  readonly a: Party
  readonly b: Party
  readonly c: Party
  readonly #random: () => number
  /** Numbers of 12 digits that only one tenant has, by the tenant. */
  readonly #numbers = new Map<string, string>()
  #count = 0

  constructor(seed: number) {
    this.seed = seed
    this.#random = createRandom(seed)
    this.a = this.#party('acme', '7')
    this.b = this.#party(`umbrella ${this.#word()}`, '734159265358')
    this.c = this.#party(`initech ${this.#word()}`, '371828182845')
  }

  get parties(): readonly Party[] {
    return [this.a, this.b, this.c]
  }

  /** Rows of hours of a day, of every tenant. */
  visitsOf(day: string, rowsOfEach: number): Row[] {
    const start = parseInstant(`${day}T00:00:00Z`)
    return this.parties.flatMap((party) =>
      Array.from({ length: rowsOfEach }, () => {
        const at = start + BigInt(Math.floor(this.#random() * 86_400)) * 1_000_000n
        const row = {
          time: formatInstant(at),
          tenant: party.tenant,
          user_id: this.#pick(['u1', 'u2', 'u3', `${party.mark} user ${this.#upTo(4)}`]),
          name: this.#pick(names),
          page: this.#pick([...pages, null, `/${party.mark}`]),
          project: 1 + this.#upTo(3),
          secret: `${party.mark} ${++this.#count}`,
          big: this.#number(party),
          amount: Number(this.#number(party)),
          price: `${this.#number(party)}.25`,
          props: this.#pick([null, { plan: 'pro', secret: party.mark }, { plan: this.#upTo(3) }]),
          labels: this.#pick([null, ['x'], ['y', `${party.mark} label`]]),
        }
        party.rows[visits.name]!.push(row)
        return row
      }),
    )
  }

  metersOf(day: string): Row[] {
    return this.parties.flatMap((party) =>
      ['m1', party.mark].map((meter, i) => {
        const row = {
          time: `${day}T0${i + 1}:00:00Z`,
          owner: BigInt(party.owner),
          meter,
          reading: this.#number(party),
        }
        party.rows[meters.name]!.push(row)
        return row
      }),
    )
  }

  projects(): Row[] {
    return this.parties.flatMap((party) =>
      [1, 2, 3].map((id) => {
        const row = { tenant: party.tenant, id, title: `${party.mark} title ${id}`, note: null }
        party.rows[projects.name]!.push(row)
        return row
      }),
    )
  }

  /** What of others than `party` is in a text: their names, marks, numbers. */
  leaksIn(text: string, party: Party | null): string[] {
    const others = this.parties.filter((one) => one !== party)
    const found = others.flatMap((one) => {
      const { tenant, owner, mark } = one
      // the first one's names are words that anything may hold
      const words = one === this.a ? [mark] : [tenant, owner, mark]
      return words.filter((word) => text.includes(word))
    })
    for (const [number] of text.matchAll(/(?<![\d.])\d{12,}/g)) {
      const whose = this.#numbers.get(number)
      if (whose !== undefined && whose !== party?.tenant) found.push(number)
    }
    return found
  }

  #party(tenant: string, owner: string): Party {
    return {
      tenant,
      owner,
      scope: { kind: 'one', tenant },
      ownerScope: { kind: 'one', tenant: owner },
      mark: this.#word(),
      rows: { [visits.name]: [], [meters.name]: [], [projects.name]: [] },
    }
  }

  #number(party: Party): bigint {
    const number = 100_000_000_000n + BigInt(Math.floor(this.#random() * 800_000_000_000))
    this.#numbers.set(String(number), party.tenant)
    return number
  }

  #word(): string {
    return `mark${Math.floor(this.#random() * 2 ** 40).toString(36)}`
  }

  #upTo(n: number): number {
    return Math.floor(this.#random() * n)
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#upTo(list.length)] as T
  }
}

export const planRows = [
  { plan: 'pro', price: 20 },
  { plan: 'free', price: 0 },
]

/** Two days in files, one of them with late rows beside it; cells of four days; a tail that nobody has computed yet. */
export async function fillWorld(tm: Tidemark, world: World, rowsOfEach = 12): Promise<void> {
  await tm.insertUnknown(projects.name, world.projects())
  await tm.insertUnknown(plans.name, planRows)
  for (const day of ['2026-03-01', '2026-03-02', '2026-03-03', '2026-03-04']) {
    await tm.insertUnknown(visits.name, world.visitsOf(day, rowsOfEach))
    await tm.insertUnknown(meters.name, world.metersOf(day))
  }
  await tm.refresh(hourly.name, { from: '2026-03-01', to: '2026-03-04' })
  for (const { name } of [visits, meters]) await tm.freeze(name, { from: '2026-03-01', to: '2026-03-03' })
  await tm.insertUnknown(visits.name, world.visitsOf('2026-03-02', 3))
  await tm.insertUnknown(visits.name, world.visitsOf('2026-03-05', rowsOfEach))
}
