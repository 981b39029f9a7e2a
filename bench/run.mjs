// npm run bench -- [case…] [--rounds N] [--quick] : builds, then runs the cases named (default: all) and prints ratios.
// --rows N (growth): rows of the set, one size a run; --values (freeze): integers, 'two decimals' or doubles alone.
// --data DIR (http): what is loaded there is kept, and used by the next run; --rows N, --seed N.
// --hosts (ingest): 100 or 4000; --minutes, --rate rows/s (steady); --faults a,b and --seed (chaos).
// BENCH_DATABASE_URL takes a server in the place of the embedded PostgreSQL; its database is emptied.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { createDatabase } from '../dist/postgres/index.js'
import { keepResults, machine, text } from './harness.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    rows: { type: 'string' },
    values: { type: 'string' },
    hosts: { type: 'string' },
    minutes: { type: 'string' },
    rate: { type: 'string' },
    faults: { type: 'string' },
    seed: { type: 'string' },
    data: { type: 'string' },
  },
})
const files = (await readdir(new URL('./cases/', import.meta.url)))
  .filter((file) => file.endsWith('.mjs'))
  .sort()
const cases = files.map((file) => file.slice(0, -'.mjs'.length))
const unknown = positionals.filter((name) => !cases.includes(name))
if (unknown.length > 0) {
  console.error(`there is no case ${unknown.join(', ')}; there are: ${cases.join(', ')}`)
  process.exit(2)
}

const server = await openServer()
try {
  for (const name of positionals.length > 0 ? positionals : cases) {
    const { run, about, isOnlyNamed = false, isKept = false } = await import(`./cases/${name}.mjs`)
    if (isOnlyNamed && positionals.length === 0) continue
    console.log(`\n${name}: ${about}`)
    const data = isKept && values.data !== undefined ? resolve(values.data) : undefined
    const lend = data === undefined ? withEmptyDatabase : withKeptDatabase
    await lend(server.connectionString, async (connectionString) => {
      const db = createDatabase({ connectionString })
      try {
        const options = {
          rounds: values.rounds ? Number(values.rounds) : undefined,
          quick: values.quick,
          rows: values.rows ? Number(values.rows) : undefined,
          values: values.values,
          hosts: number(values.hosts),
          minutes: number(values.minutes),
          rate: number(values.rate),
          faults: values.faults?.split(','),
          seed: number(values.seed),
          data,
        }
        const figures = await run({ db, connectionString, ...options })
        await keepResults(name, { name, machine: await machine(db), ...figures })
      } finally {
        await db.close()
      }
    })
  }
} finally {
  await server.stop()
}

function number(given) {
  return given === undefined ? undefined : Number(given)
}

async function openServer() {
  const given = process.env.BENCH_DATABASE_URL
  if (given) return { connectionString: given, stop: async () => {} }
  const { startEmbedded } = await import('../dist/postgres/embedded/index.js')
  if (values.data !== undefined) return startEmbedded({ dataDir: join(resolve(values.data), 'postgres') })
  const dataDir = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  const embedded = await startEmbedded({ dataDir })
  return {
    connectionString: embedded.connectionString,
    async stop() {
      await embedded.stop()
      for (const dir of new Set([dataDir, embedded.dataDir])) await rm(dir, { recursive: true, force: true })
    },
  }
}

/** That of the folder. What it holds when a run was cut off while it loaded is of no use. */
async function withKeptDatabase(connectionString, use) {
  const admin = createDatabase({ connectionString, max: 1 })
  const name = 'bench_kept'
  const url = new URL(connectionString)
  url.pathname = `/${name}`
  const { readManifest, removeUnfinished } = await import('./http/load.mjs')
  const dir = resolve(values.data)
  try {
    const { rows } = await admin.query(text(`select 1 from pg_database where datname = '${name}'`))
    if ((await readManifest(dir)) === null) {
      await removeUnfinished(dir)
      await admin.query(text(`drop database if exists ${name} with (force)`))
      await admin.query(text(`create database ${name} template template0`))
    } else if (rows.length === 0) {
      throw new Error(
        `${dir} says that it is loaded, and the server has no database ${name}: delete one of them`,
      )
    }
    await use(url.href)
  } finally {
    await admin.close()
  }
}

/** Every case has a database of its own, which is gone afterwards. */
async function withEmptyDatabase(connectionString, use) {
  const admin = createDatabase({ connectionString, max: 1 })
  const name = `bench_${process.pid}_${Date.now()}`
  const url = new URL(connectionString)
  url.pathname = `/${name}`
  try {
    await admin.query(text(`create database ${name} template template0`))
    await use(url.href)
  } finally {
    await admin.query(text(`drop database if exists ${name} with (force)`))
    await admin.close()
  }
}
