// Rankings of a rank tracker: agencies with projects with keywords, each checked once a day for years. Everything follows from the seed.
import { DuckDBInstance } from '@duckdb/node-api'

export const dayMs = 86_400_000
const agencies = 10
const projectsEach = 5
/** Of the buckets of the hypertable's chunks: docs/design/buckets.md. */
const chunkOriginMs = Date.UTC(2000, 0, 3)
const chunkMs = 30 * dayMs
const frozenAfterMs = 90 * dayMs

/**
 * @typedef {object} RankSet
 * @property {number} seed
 * @property {number} keywords of all agencies
 * @property {number} days
 */

/** The last day whose checks are all done: keyword n is checked n seconds after midnight. */
export function newestDayOf({ keywords }, nowMs) {
  return Math.floor((nowMs - keywords * 1000) / dayMs)
}

/** Rows before it are of chunks that the rule of the hypertable has in the lake. */
export function coldBorderMs(nowMs) {
  return chunkOriginMs + Math.floor((nowMs - frozenAfterMs - chunkOriginMs) / chunkMs) * chunkMs
}

export const agencyNames = Array.from({ length: agencies }, (_, i) => `agency-${i}`)
export const projectNames = Array.from({ length: projectsEach }, (_, i) => `project-${i}`)

/** Keywords of one agency. */
export function keywordsEach({ keywords }) {
  return Math.floor(keywords / agencies)
}

export function keywordOf(i) {
  return { id: `k${i}`, project: projectNames[i % projectsEach] }
}

/** Rows of `keywords` and of `projects`. */
export function plainRows(set) {
  return {
    projects: agencyNames.flatMap((agency) =>
      projectNames.map((id) => ({ agency, id, name: `Pages of ${id}`, domain: `${id}.${agency}.example` })),
    ),
    keywords: agencyNames.flatMap((agency) =>
      Array.from({ length: keywordsEach(set) }, (_, i) => ({
        agency,
        ...keywordOf(i),
        phrase: `${words[i % words.length]} ${words[(i * 7 + 3) % words.length]} ${i}`,
        tags: i % 3 === 0 ? [words[i % words.length]] : null,
      })),
    ),
  }
}

const words = [
  'best',
  'cheap',
  'running',
  'shoes',
  'near me',
  'how to',
  'repair',
  'bicycle',
  'online',
  'für',
  '自転車',
]

/**
 * Writes the rankings of some days, in the order of time, as Parquet or CSV; `fromDay` and `toDay` count from 1970, `toDay` is not in it.
 * A position is a walk of its keyword with noise; beyond 100 it is null, and so is the page.
 *
 * @param {RankSet} set
 */
export async function writeRankings(set, { file, format, fromDay, toDay, fromMs = null, toMs = null }) {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const bound = (sign, ms) => (ms === null ? '' : `and at_ms ${sign} ${ms}`)
  const options = format === 'csv' ? 'format csv, header false' : 'format parquet, compression snappy'
  try {
    await connection.run("set TimeZone = 'UTC'")
    const each = keywordsEach(set)
    const answer = await connection.runAndReadAll(`
      copy (
        with checks as (
          select ${dayMs}::int8 * d + 1000 * n as at_ms, d, n, n // ${each} as a, n % ${each} as i,
            hash(n, ${set.seed}) % 1000 as trait, hash(n, d, ${set.seed}) % 7 as noise
          from range(${fromDay}, ${toDay}) as days(d), range(${each * agencies}) as numbers(n)
        ), walks as (
          select *, 1 + trait % 90 + (8 * sin((d + trait) / (9.0 + trait % 40)))::int8 + noise - 3 as walk from checks
        ), positions as (
          select *, case when walk > 85 then null else greatest(walk, 1) end as position from walks
        )
        select make_timestamptz(at_ms * 1000) as checked_at, 'agency-' || a as agency,
          'project-' || i % ${projectsEach} as project, 'k' || i as keyword, position::int4 as position,
          case when position is null then null
            else 'https://project-' || i % ${projectsEach} || '.agency-' || a || '.example/page/' || trait // 10 end as url,
          (10 * trait + d % 30 + noise)::int8 as stars
        from positions
        where true ${bound('>=', fromMs)} ${bound('<', toMs)}
        order by at_ms, n
      ) to '${file.replaceAll("'", "''")}' (${options})`)
    return Number(answer.getRows()[0][0])
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
