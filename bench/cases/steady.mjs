// An hour of a server's life (--minutes, --rate): rows at a quarter of the most, by both acknowledges in turn, with everything that a
// worker does; memory, sizes and waits by the minute, and in the end a count of every row.
import * as api from '../../dist/index.js'
import { markdownTable, ms, text } from '../harness.mjs'
import { runSteady } from '../ingest/steady.mjs'

export const about =
  'rows at a steady rate beside freezes, refreshes, retention and a dashboard: exactly once, memory flat'
/** An hour. */
export const isOnlyNamed = true

export async function run({ db, connectionString, quick, minutes = quick ? 1 : 60, rate = null }) {
  const result = await runSteady({
    ...{ root: new URL('../../dist/', import.meta.url).href, api, connectionString },
    ...{ seconds: minutes * 60, partSeconds: quick ? 10 : 60, rate: rate ?? (quick ? 5000 : null) },
    // an hour sees a dozen chunks go into the lake and out of it; a minute has to see the same
    ...(quick
      ? { speed: 20, life: { chunk: '1 minute', freezeAfter: '2 minutes', retain: '5 minutes' } }
      : {
          speed: 1,
          life: { chunk: '2 minutes', freezeAfter: '4 minutes', retain: '12 minutes' },
          jobsEveryMs: 10_000,
        }),
    // in less time nothing becomes so old
    awaited:
      minutes >= (quick ? 0.5 : 20)
        ? [
            ['freeze bench.readings rows', 1],
            ['expire bench.readings chunks', 2],
          ]
        : [],
    databaseBytes: async () => {
      const { rows } = await db.query(text('select pg_database_size(current_database())::float8'))
      return rows[0][0]
    },
    onPart: (part) => console.log(`  ${lineOf(part).join('  ')}`),
  })
  console.log(`\n${table(result)}\n\n${JSON.stringify({ ...result, parts: undefined })}`)
  const { lost, doubled, wrong, dead, refused, heap } = result
  if (lost + doubled + wrong > 0) throw new Error('rows are lost, doubled or wrong')
  if (dead + refused > 0) throw new Error('rows came too late to be stored')
  if (!heap.isFlat) throw new Error('the heap has grown')
  return result
}

const head = [
  'part',
  'ack',
  'rows',
  'p50, ms',
  'p99, ms',
  'longest, ms',
  'sent again',
  'dashboard p50, ms',
  'p99, ms',
]
const memory = [
  'RSS, MB',
  'heap, MB',
  'PostgreSQL, MB',
  'spool, MB',
  'server, us a row',
  'generator, us a row',
]

/** For docs/benchmarks.md. */
export function table({ parts }) {
  return markdownTable([...head, ...memory], parts.map(lineOf))
}

function lineOf(part) {
  const { waits, queries, rows } = part
  const mb = (bytes) => (bytes / 1e6).toFixed(0)
  const wait = (value) => (value === null ? '' : ms(value))
  return [
    ...[part.part + 1, part.ack, rows, wait(waits.p50), wait(waits.p99), wait(waits.most), part.again],
    ...[
      wait(queries.p50),
      wait(queries.p99),
      mb(part.rss),
      mb(part.heap),
      mb(part.database),
      mb(part.spoolBytes),
    ],
    ...[part.serverMs, part.usedMs].map((used) => ((used * 1000) / rows).toFixed(2)),
  ]
}
