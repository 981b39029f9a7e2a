// The application of examples/rank-tracker over HTTP, as its users meet it: 50 of them, each with his key, one act a second, on 10 million
// rankings, most of them in the lake. --data keeps what was loaded for the next run, --rows takes another number of rankings.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as api from '../../dist/index.js'
import { figuresOf, goalTable, processorTable, ratioTable, together } from '../http/report.mjs'
import { runHttp } from '../http/run.mjs'

export const about = 'the rank tracker over HTTP: 50 users, open loop, 10 million rankings'
/** Loading and measuring take twenty minutes. */
export const isOnlyNamed = true
/** With --data its database and folder outlive the run. */
export const isKept = true

export const quickPlan = {
  ...{ users: 20, thinkMs: 400, warmUp: 1, mix: 4, imports: 2, importEveryMs: 1000, importRows: 1000 },
  ...{ rounds: 1, reads: 2 },
}
export const fullPlan = {
  ...{
    users: 50,
    thinkMs: 1000,
    warmUp: 20,
    mix: 300,
    imports: 240,
    importEveryMs: 4000,
    importRows: 10_000,
  },
  ...{ rounds: 4, reads: 40 },
}

export async function run({ db, connectionString, quick, data, rows, minutes, seed = 1 }) {
  const dir = data ?? (await mkdtemp(join(tmpdir(), 'tidemark-bench-http-')))
  const total = rows ?? (quick ? 160_000 : 10_000_000)
  const days = quick ? 800 : 1000
  const set = { seed, keywords: Math.round(total / days), days }
  const plan = { ...(quick ? quickPlan : fullPlan), ...(minutes === undefined ? {} : { mix: minutes * 60 }) }
  try {
    console.log(`  seed ${seed}, ${set.keywords} keywords, ${days} days`)
    const note = (line) => console.log(`  ${line}`)
    const root = new URL('../../dist/', import.meta.url).href
    const result = await runHttp({ root, api, db, connectionString, dir, set, plan, note })
    return tell(result)
  } finally {
    if (data === undefined) await rm(dir, { recursive: true, force: true })
  }
}

/** Prints the tables for docs/benchmarks.md. */
export function tell({ set, loaded, sources, plan, turns, ...parts }) {
  const [all, beside] = [figuresOf(parts.together), figuresOf(parts.beside)]
  const ratios = ratioTable(turns)
  const { hot, cold, seconds, wasThere } = loaded
  console.log(
    `  ${(hot + cold).toLocaleString('en')} rankings, ${cold.toLocaleString('en')} of them in the lake; ${wasThere ? 'were there' : 'loaded'}, ${seconds.toFixed(0)} s`,
  )
  console.log(`\n${goalTable(`${plan.users} users, everything at once`, all)}`)
  console.log(
    `\n${goalTable(`the same beside an import of ${plan.importRows.toLocaleString('en')} keywords every ${plan.importEveryMs / 1000} s`, beside)}`,
  )
  console.log(`\n${ratios.text}`)
  const ofTarget = (name) => together(turns.filter(({ target }) => target === name))
  const processor = [
    ...[
      ['everything at once', all],
      ['beside imports', beside],
    ],
    ...[
      ['reads alone, Tidemark', ofTarget('tidemark')],
      ['reads alone, plain', ofTarget('plain')],
    ],
  ]
  console.log(`\n${processorTable(processor)}`)
  for (const { firstErrors } of [all, beside])
    for (const [name, first] of Object.entries(firstErrors)) console.log(`  first error of ${name}: ${first}`)
  const { errors, figures } = ratios
  return {
    set,
    loaded,
    sources,
    plan,
    together: all,
    beside,
    reads: { errors, figures },
    processor: Object.fromEntries(processor),
  }
}
