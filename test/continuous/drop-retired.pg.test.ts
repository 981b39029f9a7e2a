import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { dropRetired } from '../../src/continuous/drop-retired.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { count, max } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('public.requests', {
  columns: { time: t.timestamptz(), ms: t.int4() },
  time: 'time',
  chunk: '1 day',
})
const clock = fixedClock(parseInstant('2026-01-05T12:30:00Z'))
const shape = { from: requests, bucket: '1 hour', by: [] } as const
const before = continuousAggregate('public.hourly', { ...shape, select: { n: count() } })
const after = continuousAggregate('public.hourly', { ...shape, select: { n: count(), most: max('ms') } })

/** Roles are of the whole server. Neither may read the statistics of the other. */
const id = randomBytes(6).toString('hex')
const [owner, reader] = [`owner_${id}`, `reader_${id}`]

let engine: TestEngine
const run = (text: string) => engine.test.db.execute(text)
beforeAll(async () => {
  engine = await createTestEngine(defineConfig({ datasets: [requests, before] }), { clock })
  await engine.tm.insertUnknown('requests', [{ time: '2026-01-01T00:00:00Z', ms: 1 }])
  await engine.tm.refresh('hourly')
  await run(`create role ${owner} login; create role ${reader} login`)
  await run(`grant usage on schema tidemark, tidemark_aggregates to ${owner}, ${reader}`)
  await run(`grant all on all tables in schema tidemark to ${owner}`)
  await run(`grant all on schema tidemark_aggregates to ${owner}`)
  await run(`grant select on all tables in schema public, tidemark, tidemark_aggregates to ${reader}`)
  await run(`alter table tidemark_aggregates.hourly_1 owner to ${owner}`)
})
afterAll(async () => {
  await run(`drop owned by ${owner}, ${reader}; drop role ${owner}, ${reader}`)
  await engine.close()
})

const as = (role: string) => {
  const url = new URL(engine.test.connectionString)
  url.username = role
  return createDatabase({ connectionString: url.href, max: 1 })
}

it('a reader of another role, whose statements are hidden, keeps the cells that its snapshot sees', async () => {
  const [readers, owners] = [as(reader), as(owner)]
  try {
    let leave!: () => void
    const left = new Promise<void>((done) => {
      leave = done
    })
    let count: unknown
    let begun!: () => void
    const isReading = new Promise<void>((done) => {
      begun = done
    })
    const reading = readers.transaction({ mode: 'repeatable read read only' }, async (connection) => {
      await connection.query(raw('select from tidemark.aggregate_version'))
      begun()
      await left
      count = (await connection.query(raw('select state_0_n from tidemark_aggregates.hourly_1'))).rows[0]?.[0]
    })
    await isReading
    const config = defineConfig({ datasets: [requests, after] })
    const { connectionString } = engine.test
    await using changed = await createTidemark(config, { connectionString, root: engine.root, clock })
    await changed.migrate()
    expect((await changed.refresh('hourly')).swap?.kind).toBe('swapped')

    const { rows } = await owners.query(
      raw(`select query, backend_xmin is null from pg_stat_activity
        where usename = '${reader}' and datname = current_database()`),
    )
    // PostgreSQL hides what others run, and never which snapshots they hold
    expect(rows).toEqual([['<insufficient privilege>', false]])
    expect(await dropRetired(owners, after)).toBe(0)
    leave()
    await reading
    expect(count).toBe(1n)
    expect(await dropRetired(owners, after)).toBe(1)
  } finally {
    await readers.close()
    await owners.close()
  }
})
