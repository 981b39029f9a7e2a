import { expect, inject, it } from 'vitest'
import { continuousAggregate, readVersions } from '../../src/continuous/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import type { FeedEvent } from '../../src/feed/index.ts'
import { LiveHub } from '../../src/live/index.ts'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { count } from '../../src/query/index.ts'
import { allTenants, defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { scopedTo } from '../../src/scoped.ts'
import { parseInstant } from '../../src/time/index.ts'
import type { TidemarkError } from '../../src/util/errors.ts'
import { startStandby } from '../helpers/standby.ts'
import { startTestServer } from '../helpers/test-server.ts'
import { fillCells } from './cells-fixture.ts'

const { lane } = inject('postgres')
const cpu = hypertable('public.cpu', {
  columns: { time: t.timestamptz(), host: t.text() },
  time: 'time',
  chunk: '1 day',
})
const hourly = continuousAggregate('public.hourly', {
  from: cpu,
  bucket: '1 hour',
  by: ['host'],
  select: { n: count() },
})
const config = defineConfig({ datasets: [cpu, hourly], cache: { memory: 0 } })
const day = { from: parseInstant('2026-01-01T00:00:00Z'), to: parseInstant('2026-01-02T00:00:00Z') }
const query = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', select: { n: { fn: 'count' } } }

/** The feed of a standby, which is refused: to whoever listens, waits, or subscribes to a live answer. */
async function follow(tm: Tidemark) {
  const told: string[] = []
  const listen = (event: FeedEvent): void => {
    told.push(
      event.kind === 'refused'
        ? `refused: ${event.error.message}`
        : event.kind === 'reset'
          ? `reset: ${event.reason}`
          : `changed: ${event.changes.map(({ dataset }) => dataset).join(' ')}`,
    )
  }
  const stops = [tm.feed.subscribe(listen)]
  const refusal = {
    code: 'TM_READ_ONLY',
    message: expect.stringMatching(/^following changes was refused.*connect to the primary/),
  }
  await expect(tm.feed.caughtUp()).rejects.toMatchObject(refusal)
  await expect(tm.feed.caughtUp()).rejects.toMatchObject(refusal)
  // once, however often it is looked at; also to who comes later
  expect(told).toEqual([expect.stringMatching(/^refused: following changes/)])
  stops.push(tm.feed.subscribe(listen))
  await expect.poll(() => told.length).toBe(2)
  expect(tm.feed.behindMs).toBe(Number.POSITIVE_INFINITY)
  const hub = new LiveHub({ feed: tm.feed, explain: (error) => error as TidemarkError })
  const live = (): Promise<string> =>
    new Promise((resolve) => {
      const caller = { engine: scopedTo(tm, allTenants), principal: 'one', datasets: null }
      const reader = hub.subscribe(caller, { dataset: 'public.cpu', ...query }, null, {
        send: (body) => {
          const { rows } = JSON.parse(`{${body}}`) as { rows?: readonly [string, { n: number }][] }
          // the first answer may come before it is known that there will be no second one
          if (rows && tm.feed.behindMs < 5_000) resolve(`answer ${rows[0]![1].n}`)
          reader.taken()
        },
        end: ({ code }) => resolve(`ended ${code}`),
      })
    })
  expect(await live()).toBe('ended TM_READ_ONLY')
  expect(hub.counts).toMatchObject({ subscriptions: 0, questions: 0, bytes: 0 })
  const stop = (): void => {
    hub.close()
    for (const one of stops) one()
  }
  return { told, live, stop }
}

// a standby of the server of DATABASE_URL would need its data folder
it.skipIf(lane === 'pg-url')(
  'cells are read on a standby, whose changes nobody can follow, and nothing of them once it has become a primary of its own',
  async () => {
    const bin =
      lane === 'pg15' ? '/usr/lib/postgresql/15/bin' : (await prepareBinaries(await accountForServer())).bin
    const primary = await startTestServer(`cells-${lane}`, bin)
    try {
      const standby = await startStandby(primary, bin, `cells-${lane}`)
      try {
        const admin = createDatabase({ connectionString: primary.connectionString, max: 1 })
        await admin.execute('create database cells template template0').finally(() => admin.close())
        const at = (server: { readonly connectionString: string }): string => {
          const url = new URL(server.connectionString)
          url.pathname = '/cells'
          return url.href
        }
        const db = createDatabase({ connectionString: at(primary) })
        const tm = await createTidemark(config, { connectionString: at(primary) })
        await tm.migrate()
        await tm.insert(
          cpu,
          Array.from({ length: 5_000 }, (_, i) => ({ time: day.from + BigInt(i) * 10_000_000n, host: 'a' })),
        )
        const [version] = await readVersions(db, cpu)
        await fillCells(db, version!, day)
        await db.execute('analyze')
        await tm.close()
        await db.close()
        await standby.catchUp()

        const reader = await createTidemark(config, { connectionString: at(standby) })
        try {
          const answer = await reader.queryUnknown('public.cpu', query)
          expect(answer.rows).toEqual([{ n: 5_000 }])
          expect(answer.plan.parts.map(({ source }) => source)).toEqual(['public.hourly'])
          await expect(reader.insert(cpu, [{ time: day.from, host: 'b' }])).rejects.toMatchObject({
            code: 'TM_READ_ONLY',
            message: expect.stringContaining('this server is read-only (a standby'),
          })
          const { told, live, stop } = await follow(reader)
          await standby.promote()
          await expect.poll(() => told.at(-1)).toMatch(/^reset: the server was started anew|^reset: nothing/)
          await reader.insert(cpu, [{ time: day.from, host: 'b' }])
          await reader.feed.caughtUp()
          expect(told.at(-1)).toBe('changed: public.cpu')
          expect(await live()).toBe('answer 5001')
          stop()
          await reader.delete(cpu, { where: { host: 'b' } })
          const promoted = await reader.queryUnknown('public.cpu', query)
          expect(promoted.rows).toEqual([{ n: 5_000 }])
          expect(promoted.plan.parts.map(({ source }) => source)).toEqual(['hot'])
          expect(promoted.plan.aggregates?.[0]?.why).toContain('other-timeline')
        } finally {
          await reader.close()
        }
      } finally {
        await standby.stop()
      }
    } finally {
      await primary.stop()
    }
  },
  240_000,
)
