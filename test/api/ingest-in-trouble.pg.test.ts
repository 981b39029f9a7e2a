import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, inject, it } from 'vitest'
import * as client from '../../src/client/index.ts'
import * as api from '../../src/index.ts'
import * as postgres from '../../src/postgres/index.ts'
import { compiled } from '../helpers/compiled.ts'
import { createTestDatabase } from '../helpers/database.ts'

/** What the benchmarks `steady` and `chaos` run for an hour, for some seconds: the same code, of the present sources. */
const bench = (file: string) => import(new URL(`../../bench/ingest/${file}`, import.meta.url).href)
const rootOf = async () => `${pathToFileURL(dirname(await compiled('src/index.ts'))).href}/`

it('of rows at a steady rate none is lost or doubled while chunks are frozen, counted and dropped, whichever way they are acknowledged', async () => {
  const { runSteady } = await bench('steady.mjs')
  const test = await createTestDatabase()
  const result = await runSteady({
    ...{ root: await rootOf(), api, connectionString: test.connectionString },
    ...{ seconds: 8, partSeconds: 2, rate: 1000, hosts: 5, batchRows: 100 },
    // two seconds are a minute
    ...{
      speed: 30,
      jobsEveryMs: 200,
      life: { chunk: '1 minute', freezeAfter: '1 minute', retain: '4 minutes' },
    },
    databaseBytes: async () => 0,
    // something to lose rows by; the first chunks that are dropped may be of before the first row
    awaited: [
      ['freeze bench.readings rows', 1],
      ['expire bench.readings chunks', 3],
    ],
  })
  // on a machine that is very busy some rows come when their time has been dropped, and are told or kept as that
  const { acknowledged, refused, stored, lost, doubled, wrong, dead, parts } = result
  expect({ lost, doubled, wrong }).toEqual({ lost: 0, doubled: 0, wrong: 0 })
  expect(acknowledged + refused).toBe(8000)
  expect(stored + dead).toBe(acknowledged)
  expect(result.rowsLeft).toBeLessThan(acknowledged)
  expect(parts.map(({ ack }: { ack: string }) => ack)).toEqual(['durable', 'queued', 'durable', 'queued'])
  expect(parts.every(({ queries }: { queries: { count: number } }) => queries.count > 0)).toBe(true)
  await test.drop()
}, 240_000)

const seed = Math.floor(Math.random() * 2 ** 31)

it(`what was acknowledged is stored once, whoever is killed and whatever is cut meanwhile (seed ${seed})`, async () => {
  const { runFault } = await bench('chaos.mjs')
  const build = { root: await rootOf(), api, client, postgres }
  const cluster = { connectionString: inject('postgres').connectionString }
  const results = await Promise.all(
    ['network-cut', 'backends-ended-ids', 'server-killed-queued'].map((name) =>
      runFault({ build, cluster, name, seed, quick: true }),
    ),
  )
  for (const { name, acknowledged, stored, doubled, lost, neverAcknowledged } of results) {
    expect({ name, doubled, lost, neverAcknowledged }).toEqual({
      ...{ name, doubled: 0, lost: 0, neverAcknowledged: 0 },
    })
    expect(stored).toBe(acknowledged)
    expect(acknowledged).toBeGreaterThan(100)
  }
}, 240_000)
