// Brings the set in: what is old straight into the lake, the rest into PostgreSQL, everything once more into a plain table beside it. A
// folder that is kept gets the days that have passed since.
import { createReadStream, existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from '../harness.mjs'
import { coldBorderMs, dayMs, newestDayOf, plainRows, writeRankings } from './set.mjs'

/** Of the form of what is loaded: another one is not gone on with. */
const form = 1
const manifestOf = (dir) => join(dir, 'set.json')

/**
 * @param {object} options
 * @param {any} options.tm of a database that is empty, or has what the folder's manifest says
 * @param {string} options.dir where the lake is, and what is loaded is written down
 * @param {import('./set.mjs').RankSet} options.set
 * @param {(line: string) => void} options.note
 * @param {number} [options.nowMs] what is the newest day, and what is old
 */
export async function loadSet({ tm, db, dir, set, note, nowMs = Date.now() }) {
  const known = await readManifest(dir)
  const newest = newestDayOf(set, nowMs)
  const startedAt = performance.now()
  await tm.migrate()
  if (known === null) {
    const rows = plainRows(set)
    for (const [name, list] of Object.entries(rows)) await tm.insertUnknown(name, list)
    await db.execute(plainTable)
  } else await removeTraces(db)
  const fromDay = known === null ? newest - set.days + 1 : known.newestDay + 1
  const loaded =
    fromDay > newest
      ? null
      : await loadDays({ tm, db, dir, set, note, nowMs, fromDay, newest, isNew: known === null })
  if (loaded !== null) {
    await settle(tm, db, known === null, note)
    await writeFile(manifestOf(dir), `${JSON.stringify({ form, ...set, newestDay: newest })}\n`)
  }
  const { rows } = await db.query(
    text(`
      select (select count(*)::float8 from rankings), (select count(*)::float8 from plain.rankings),
        (select coalesce(sum(f.row_count), 0)::float8 from tidemark.lake_file as f),
        pg_database_size(current_database())::float8`),
  )
  const [hot, plain, cold, bytes] = rows[0]
  if (hot + cold !== plain) throw new Error(`${hot} rows and ${cold} in the lake, expected ${plain}`)
  return {
    hot,
    cold,
    plain,
    databaseBytes: bytes,
    seconds: (performance.now() - startedAt) / 1000,
    wasThere: known !== null,
  }
}

/** What a load that was cut off has left of the lake. */
export async function removeUnfinished(dir) {
  for (const name of ['.tidemark/lake', 'rankings.parquet', 'rankings.csv'])
    await rm(join(dir, name), { recursive: true, force: true })
}

/** What users of a run have written; runs that were cut off leave it. Both ends as constants tell that nothing of the lake is meant. */
export async function removeTraces(db) {
  const [from, to] = [80, -1].map((ago) => new Date(Date.now() - ago * dayMs).toISOString())
  for (const statement of [
    `delete from rankings where keyword like 'live-%' and checked_at >= '${from}' and checked_at < '${to}'`,
    "delete from keywords where project like 'import-%' or id like 'own-%'",
    'vacuum analyze keywords',
  ])
    await db.query(text(statement))
}

/** @throws Error when the folder holds another set. */
export async function assertSameSet(dir, set) {
  const known = await readManifest(dir)
  if (known === null) return
  const same = known.form === form && Object.entries(set).every(([name, value]) => known[name] === value)
  if (!same)
    throw new Error(`${dir} holds another set (${JSON.stringify(known)}): give another folder, or delete it`)
}

export async function readManifest(dir) {
  return existsSync(manifestOf(dir)) ? JSON.parse(await readFile(manifestOf(dir), 'utf8')) : null
}

async function loadDays({ tm, db, dir, set, note, nowMs, fromDay, newest, isNew }) {
  const borderMs = coldBorderMs(nowMs)
  const days = { fromDay, toDay: newest + 1 }
  const timed = async (what, work) => {
    const startedAt = performance.now()
    const rows = await work()
    note(
      `${what}: ${rows.toLocaleString('en')} rows in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
    )
    return rows
  }
  const parts = isNew
    ? [
        { what: 'into the lake', bounds: { toMs: borderMs }, options: { cold: true } },
        { what: 'into PostgreSQL', bounds: { fromMs: borderMs }, options: {} },
      ]
    : [{ what: 'days since', bounds: {}, options: {} }]
  for (const { what, bounds, options } of parts) {
    const file = join(dir, 'rankings.parquet')
    const made = await timed(`${what}, made`, () =>
      writeRankings(set, { file, format: 'parquet', ...days, ...bounds }),
    )
    await timed(what, async () => {
      const { rows, dead } = await tm.import('rankings', file, { ...options, again: true })
      if (rows !== made || dead !== 0)
        throw new Error(`${rows} of ${made} rankings came in, ${dead} did not fit`)
      return rows
    })
    await rm(file)
  }
  const file = join(dir, 'rankings.csv')
  await writeRankings(set, { file, format: 'csv', ...days })
  await timed('into the plain table', () =>
    db.withConnection((connection) =>
      connection.copyFrom(text('copy plain.rankings from stdin (format csv)'), createReadStream(file)),
    ),
  )
  await rm(file)
  return newest - fromDay + 1
}

/** As a database is that has been there for a while. */
async function settle(tm, db, isNew, note) {
  const startedAt = performance.now()
  if (isNew) await db.execute(plainIndexes)
  await tm.freeze('rankings')
  for (const { name } of tm.aggregates) {
    const begun = performance.now()
    await tm.refresh(name)
    note(`${name}: refreshed in ${((performance.now() - begun) / 1000).toFixed(1)} s`)
  }
  for (const table of ['rankings', 'keywords', 'projects', 'plain.rankings'])
    await db.query(text(`vacuum analyze ${table}`))
  await db.query(text('checkpoint'))
  note(`indexes, aggregates, vacuum, together: ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
}

const plainTable = `
  create schema plain;
  create table plain.rankings (
    checked_at timestamptz not null, agency text not null, project text not null, keyword text not null, position int, url text, stars bigint
  )`

/** By keyword, as its page asks; by project, as the dashboard does. */
const plainIndexes = `
  alter table plain.rankings add primary key (agency, keyword, checked_at);
  create index on plain.rankings (agency, project, checked_at)`
