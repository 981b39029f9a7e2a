import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { parseQuery } from '../../src/query/index.ts'
import { type DatasetDefinition, defineConfig } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import type { TestDatabase } from '../helpers/database.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { everyType, fixedRows, keyedRows, keyedTable, paths, randomRows, start } from '../suites/tier-data.ts'

const hour = 3_600_000_000n
const clock = fixedClock(start + 10n ** 12n)
const config = defineConfig({ datasets: [everyType, keyedTable], lake: { dir: 'lake', threads: 1 } })

let engine: TestEngine
let test: TestDatabase
let tm: Tidemark
let root: string
beforeEach(async () => {
  engine = await createTestEngine(config, { clock })
  ;({ test, tm, root } = engine)
})
afterEach(() => engine.close())

type Row = Readonly<Record<string, unknown>>

/** Random queries, every row page by page, and what each kind of query is for, all against the naive oracle. */
async function assertAnswers(
  dataset: DatasetDefinition,
  rows: readonly Row[],
  seed: number,
  runs: number,
): Promise<Set<string>> {
  const sources = new Set<string>()
  const check = async (input: Row): Promise<void> => {
    const node = parseQuery(input, { dataset, clock })
    const answer = await tm.queryUnknown(dataset.name, input)
    for (const part of answer.plan.parts) sources.add(part.source)
    expect(compareAnswers(answer, naiveAnswer(node, rows), node), fc.stringify({ seed, input })).toEqual([])
  }
  const arbitrary = queryArbitrary({ dataset, rows, paths: dataset === everyType ? paths : [] })
  for (const input of fc.sample(arbitrary, { seed, numRuns: runs }))
    if (isQuery(dataset, input)) await check(input)
  for (const direction of ['asc', 'desc']) {
    const all: Row[] = []
    let cursor: string | null = null
    do {
      const page: { rows: readonly Row[]; cursor: string | null } = await tm.queryUnknown(dataset.name, {
        direction,
        limit: 97,
        ...(cursor === null ? {} : { cursor }),
      })
      all.push(...page.rows)
      cursor = page.cursor
    } while (cursor !== null)
    const node = parseQuery({ direction, limit: 10_000 }, { dataset, clock })
    expect(compareAnswers({ rows: all }, naiveAnswer(node, rows), node), `pages ${direction}`).toEqual([])
  }
  await check({ latestBy: ['tag'] })
  const sums = { counted: { fn: 'count' }, mean: { fn: 'avg', column: 'value' } }
  for (const zone of [undefined, 'Europe/Berlin', 'Asia/Kathmandu'])
    await check({ bucket: '1 day', select: sums, fill: 'previous', ...(zone === undefined ? {} : { zone }) })
  return sources
}

/** A drawn group may have the name of a drawn output: that is no query. */
function isQuery(dataset: DatasetDefinition, input: Row): boolean {
  try {
    parseQuery(input, { dataset, clock })
    return true
  } catch (error) {
    if (isTidemarkError(error) && error.message.includes('is already the name of')) return false
    throw error
  }
}

const stateOf = async (): Promise<unknown[]> =>
  (
    await test.db.query(
      raw(`
      select state || ' ' || (select count(*) from tidemark.lake_file f where f.chunk_id = c.id)
      from tidemark.chunk c order by hypertable_id, range_from`),
    )
  ).rows.map(([text]) => text)

describe('hot and cold are one table', () => {
  it('every query answers the same before a freeze, with late rows, after a compaction, and after a thaw', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const rows: Row[] = [...randomRows(seed, 300), ...fixedRows()]
    await tm.insertUnknown(everyType.name, rows)
    expect(await assertAnswers(everyType, rows, seed, 8)).toEqual(new Set(['hot']))

    const first = await tm.planFreeze(everyType.name, { to: start + 36n * hour })
    expect(first.chunks.length).toBeGreaterThan(0)
    const report = await tm.freeze(everyType.name, { to: start + 36n * hour })
    expect(report).toMatchObject({ chunks: first.chunks.length, failed: [], taken: [], held: [] })
    expect(report.rows).toBeGreaterThan(0)
    expect(report.bytesBefore).toBeGreaterThan(report.bytes)
    expect(await assertAnswers(everyType, rows, seed + 1, 12)).toEqual(new Set(['hot', 'cold']))

    const late = randomRows(seed + 2, 40)
    await tm.insertUnknown(everyType.name, late)
    rows.push(...late)
    expect(await assertAnswers(everyType, rows, seed + 3, 12)).toEqual(new Set(['hot', 'cold']))

    expect(await tm.freeze(everyType.name, { all: true })).toMatchObject({ held: [], failed: [], taken: [] })
    await tm.compact(everyType.name, { all: true })
    expect(new Set(await stateOf())).toEqual(new Set(['cold 1']))
    expect(await tm.verify()).toMatchObject({ rows: rows.length, problems: [] })
    expect(await assertAnswers(everyType, rows, seed + 4, 12)).toContain('cold')

    await tm.thaw(everyType.name, { from: start - 240n * hour, to: start + 36n * hour })
    expect(new Set(await stateOf())).toEqual(new Set(['hot 0', 'cold 1']))
    expect(await assertAnswers(everyType, rows, seed + 5, 8)).toEqual(new Set(['hot', 'cold']))
  }, 120_000)

  it('a keyed table too, which ejected is a plain table with all its rows', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const rows = keyedRows()
    await tm.insertUnknown(keyedTable.name, rows)
    await tm.freeze(keyedTable.name, { olderThan: start + 36n * hour })
    expect(await assertAnswers(keyedTable, rows, seed, 25)).toContain('cold')
    await tm.eject(keyedTable.name)
    const { rows: counted } = await test.db.query(sql`select count(*) from suite.keyed_table`)
    expect(counted).toEqual([[BigInt(rows.length)]])
  }, 60_000)

  it('queries that run while chunks are frozen and thawed by another process count every row once', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => ({
      time: start + BigInt(i) * 60_000_000n,
      id: i,
      tag: `t${i % 7}`,
    }))
    await tm.insertUnknown(everyType.name, rows)
    const other = await createTidemark(config, { connectionString: test.connectionString, clock, root })
    const sources = new Set<string>()
    let asked = 0
    const isEnough = (): boolean => sources.size === 2 && asked > 10
    let isMoving = true
    let isOver = false
    const moving = (async () => {
      try {
        // two rounds at least, and as many as the questions need to meet both places
        for (let round = 0; !isOver && (round < 2 || (!isEnough() && round < 100)); round += 1) {
          await other.freeze(everyType.name, { all: true })
          await other.insertUnknown(everyType.name, [])
          await other.thaw(everyType.name, { all: true })
        }
      } finally {
        isMoving = false
        await other.close()
      }
    })()
    try {
      while (isMoving) {
        const { rows: answer, plan } = await tm.queryUnknown(everyType.name, {
          select: { n: { fn: 'count' }, ids: { fn: 'sum', column: 'id' } },
        })
        expect(answer).toEqual([{ n: 3000, ids: 4_498_500n }])
        const page = await tm.queryUnknown(everyType.name, { columns: ['id'], limit: 5000 })
        expect(page.rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id))
        for (const part of plan.parts) sources.add(part.source)
        asked += 1
      }
    } finally {
      isOver = true
      await moving
    }
    expect(isEnough()).toBe(true)
  }, 120_000)
})

describe('what is asked wrongly', () => {
  it('is refused by name', async () => {
    await expect(tm.freeze(everyType.name)).rejects.toThrow(/declare freeze\.after/)
    await expect(tm.thaw(everyType.name, {})).rejects.toThrow(/olderThan/)
    await expect(tm.freeze(everyType.name, { olderThan: 'a while' })).rejects.toMatchObject({
      code: 'TM_QUERY',
    })
    await expect(tm.expire(everyType.name)).rejects.toThrow(/retain/)
    await expect(tm.freeze('nowhere', { all: true })).rejects.toMatchObject({ code: 'TM_UNKNOWN_DATASET' })
  })

  it('a lake that is not the one of the catalog is not written to', async () => {
    await tm.insertUnknown(everyType.name, fixedRows())
    await tm.freeze(everyType.name, { to: start + 36n * hour })
    const elsewhere = await createTidemark(config, {
      connectionString: test.connectionString,
      clock,
      root: join(root, 'elsewhere'),
    })
    await expect(elsewhere.freeze(everyType.name, { all: true })).rejects.toThrow(
      /does not have suite\.every_type\//,
    )
    await expect(elsewhere.queryUnknown(everyType.name, { limit: 5 })).rejects.toMatchObject({
      code: 'TM_LAKE',
    })
    await elsewhere.close()
    expect(await tm.freeze(everyType.name, { all: true })).toMatchObject({ failed: [] })
  })
})
