import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createHotWriter } from '../../src/hot/index.ts'
import { importFile } from '../../src/ingest/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { writeFile } from '../ingest/files.ts'
import { createFixture, type Fixture } from '../lifecycle/fixture.ts'
import { testChunks } from './create-test-hypertable.ts'

const columns = { time: t.timestamptz(), sensor: t.text(), value: t.int4() }
const options = { time: 'time', chunk: '1 day', retain: '12 days' } as const
const plain = hypertable('public.plain', { columns, ...options })
const keyed = hypertable('public.keyed', { columns, ...options, primaryKey: ['sensor', 'time'] })

const row = (time: string, sensor: string) => ({ time, sensor, value: 1 })
const many = (time: string, amount: number) =>
  Array.from({ length: amount }, (_, i) => ({
    time: parseInstant(time) + BigInt(i) * 1_000_000n,
    sensor: `s${i}`,
    value: i,
  }))

describe.each([plain, keyed])('a row of time that retention has dropped ($name)', (definition) => {
  let fixture: Fixture
  beforeEach(async () => {
    fixture = await createFixture(definition)
    const { writer, lifecycle } = fixture
    // the writer remembers the chunks as they are before one is dropped
    for (const day of ['01', '05', '15'])
      await writer.insert(definition, [row(`2026-01-${day}T03:00:00Z`, 'first')])
    expect(await lifecycle.expire(definition)).toMatchObject({ chunks: 1 })
  })
  afterEach(() => fixture.drop())

  const count = async () =>
    (await fixture.test.db.query(raw(`select count(*)::int4 from ${definition.name}`))).rows[0]![0] as number
  const refused =
    /public\.(plain|keyed): .* retention has dropped the rows from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z/

  it('is refused, alone and among others, whatever this process remembers', async () => {
    const { writer } = fixture
    const late = row('2026-01-01T04:00:00Z', 'late')
    await expect(writer.insert(definition, [late])).rejects.toThrow(refused)
    await expect(writer.insert(definition, [late])).rejects.toThrow('a row is of 2026-01-01T04:00:00Z')
    const other = createHotWriter({ db: fixture.test.db, chunks: testChunks(fixture.test.db) })
    await expect(other.insert(definition, [row('2026-01-05T04:00:00Z', 'a'), late])).rejects.toThrow(refused)
    await expect(
      other.insert(definition, [...many('2026-01-05T05:00:00Z', 300), ...many('2026-01-01T05:00:00Z', 3)]),
    ).rejects.toThrow(refused)
    await expect(other.insert(definition, [late], { onConflict: 'ignore' })).rejects.toThrow(refused)
    if (definition === keyed) {
      await expect(other.upsert(definition, [late])).rejects.toThrow(refused)
      await expect(other.upsert(definition, [...many('2026-01-05T05:00:00Z', 300), late])).rejects.toThrow(
        refused,
      )
    }
    expect(await count()).toBe(2)
    // beside it nothing changes
    expect(await other.insert(definition, many('2026-01-05T05:00:00Z', 300))).toMatchObject({ inserted: 300 })
    expect(await other.insert(definition, [row('2025-12-31T23:59:59Z', 'older')])).toMatchObject({
      inserted: 1,
    })
    expect(await other.insert(definition, [row('2026-01-15T13:00:00Z', 'newer')])).toMatchObject({
      inserted: 1,
    })
  })

  it('is refused when the chunk was dropped after the rows were put together', async () => {
    const { writer, lifecycle } = fixture
    const newBatch = await writer.batches(definition, 'error')
    const batch = newBatch()
    for (const { time, sensor, value } of many('2026-01-05T05:00:00Z', 300)) batch.add([time, sensor, value])
    await lifecycle.expire(definition, { cutoff: parseInstant('2026-01-06T00:00:00Z') })
    await expect(batch.commit({ inTransaction: async () => {} })).rejects.toThrow(
      'retention has dropped the rows from 2026-01-05T00:00:00Z to 2026-01-06T00:00:00Z',
    )
    batch.release()
    expect(await count()).toBe(1)
  })

  it('is not changed or deleted, and no row is moved there', async () => {
    const { writer } = fixture
    const range = { from: parseInstant('2026-01-01T01:00:00Z'), to: parseInstant('2026-01-01T09:00:00Z') }
    await expect(writer.delete(definition, { where: null, range })).rejects.toThrow(refused)
    await expect(writer.update(definition, { set: { value: 2 }, where: null, range })).rejects.toThrow(
      refused,
    )
    await expect(
      writer.update(definition, { set: { time: '2026-01-01T02:00:00Z' }, where: null, range: null }),
    ).rejects.toThrow(refused)
    // what reaches further means the rows that there are
    const wide = { from: parseInstant('2026-01-01T00:00:00Z'), to: parseInstant('2026-01-06T00:00:00Z') }
    expect(await writer.delete(definition, { where: null, range: wide })).toEqual({ deleted: 1 })
  })

  it('becomes a dead letter of an import, with its reason', async () => {
    const { test, writer } = fixture
    const lines = Array.from({ length: 60 }, (_, i) => {
      const day = i % 3 === 0 ? '01' : '05'
      return `2026-01-${day}T05:${String(i).padStart(2, '0')}:00Z,s${i},${i}`
    })
    const file = writeFile('late.csv', `time,sensor,value\n${lines.join('\n')}\n`)
    const report = await importFile({ db: test.db, writer, definition, file, options: { batchRows: 25 } })
    expect(report).toMatchObject({ rows: 40, dead: 20, deadByReason: { expired: 20 } })
    expect(await count()).toBe(42)
    const strict = writeFile('strict.csv', `time,sensor,value\n${lines.slice(0, 1).join('\n')}\n`)
    await expect(
      importFile({ db: test.db, writer, definition, file: strict, options: { strict: true } }),
    ).rejects.toMatchObject({ code: 'TM_EXPIRED' })
  })
})
