import { expect, inject, it } from 'vitest'
import { continuousAggregate, readVersions } from '../../src/continuous/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { count } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
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

// a standby of the server of DATABASE_URL would need its data folder
it.skipIf(lane === 'pg-url')(
  'cells are read on a standby, and nothing of them once it has become a primary of its own',
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
          await standby.promote()
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
