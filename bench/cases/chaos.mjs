// What goes wrong while rows come, one fault after the other (--faults a,b; --seed), against a PostgreSQL of the case's own, which it
// kills. What was acknowledged has to be stored, once.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as client from '../../dist/client/index.js'
import * as api from '../../dist/index.js'
import { startEmbedded } from '../../dist/postgres/embedded/index.js'
import * as postgres from '../../dist/postgres/index.js'
import { markdownTable, ms } from '../harness.mjs'
import { runFault, startCluster } from '../ingest/chaos.mjs'
import { faults as all } from '../ingest/faults.mjs'

export const about =
  'acknowledged = stored, exactly once: database and server killed, connections cut, disks full'

export async function run({ quick, rounds = 1, faults = Object.keys(all), seed = Date.now() % 2 ** 31 }) {
  const build = { root: new URL('../../dist/', import.meta.url).href, api, client, postgres }
  const cluster = await startCluster(startEmbedded, await mkdtemp(join(tmpdir(), 'tidemark-chaos-pg-')))
  const results = []
  try {
    for (let round = 0; round < rounds; round++)
      for (const name of faults) {
        const result = await runFault({ build, cluster, name, seed: seed + round, quick })
        results.push(result)
        console.log(`  ${lineOf(result).join(' | ')}`)
      }
  } finally {
    await cluster.stop()
  }
  console.log(`\nseed ${seed}\n${table(results)}`)
  const wrong = results.filter(({ lost = 0, doubled = 0 }) => lost + doubled > 0)
  if (wrong.length > 0) throw new Error(`rows were lost or doubled: ${wrong.map(({ name }) => name)}`)
  return { seed, results }
}

const head = [
  'fault',
  'acknowledged',
  'stored',
  'doubled',
  'lost',
  'refused by the server',
  'longest pause, ms',
]

/** For docs/benchmarks.md. */
export function table(results) {
  return markdownTable(head, results.map(lineOf))
}

function lineOf({ about, skipped, acknowledged, stored, doubled, lost, refusals, longestPauseMs }) {
  if (skipped !== undefined) return [about, `skipped: ${skipped}`, '', '', '', '', '']
  const refused = Object.entries(refusals).map(([status, count]) => `${count} x ${status}`)
  return [
    ...[about, acknowledged, stored, doubled, lost].map((value) => value.toLocaleString('en')),
    ...[refused.join(', ') || '0', ms(longestPauseMs)],
  ]
}
