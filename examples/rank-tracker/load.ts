import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createGunzip } from 'node:zlib'
import type { Tidemark } from 'tidemark'
import type config from './tidemark.config.ts'
import { keywords, projects, rankings } from './tidemark.config.ts'

export type RankTracker = Tidemark<typeof config>

/**
 * The 100 repositories with the most stars, of all and of three languages, on each of 2,522 days from 2018-12-18 to 2026-08-22, where
 * somebody has put them beside the project. A list is a project, a repository is a keyword.
 */
export const realRankings = fileURLToPath(
  new URL('../../../shared/data/rank/github_rank_narrow_2018_2026.csv.gz', import.meta.url),
)

export interface Ranking {
  readonly day: string
  readonly list: string
  readonly rank: number
  readonly url: string
  readonly stars: number
}

export async function* readRankings(file: string): AsyncGenerator<Ranking> {
  const lines = createInterface({ input: createReadStream(file).pipe(createGunzip()) })
  let isHeader = true
  for await (const line of lines) {
    const [day, list, rank, url, stars] = line.split(',') as [string, string, string, string, string]
    if (!isHeader) yield { day, list, rank: Number(rank), url, stars: Number(stars) }
    isHeader = false
  }
}

/** Made up: positions that walk up and down, of one project. */
export function* makeRankings(phrases: number, days: number, until: Date): Generator<Ranking> {
  for (let ago = days - 1; ago >= 0; ago--)
    for (let i = 0; i < phrases; i++)
      yield {
        day: new Date(until.getTime() - ago * 86_400_000).toISOString().slice(0, 10),
        list: 'made-up',
        rank: 1 + ((((i * 7 + Math.round(10 * Math.sin((ago + i) / 9))) % 100) + 100) % 100),
        url: `https://example.org/${i}`,
        stars: 1000 * (phrases - i),
      }
}

export interface LoadReport {
  readonly rankings: number
  readonly keywords: number
  /** Days that the newest ranking is away from today; they were moved by that much. */
  readonly movedDays: number
}

/**
 * Brings rankings in: the newest ones lie in the last day, so that the three ages of the document are all there. What is older than 90
 * days goes straight into the lake. Of a keyword that is twice in a list on one day the better position counts.
 */
export async function loadRankings(
  tm: RankTracker,
  agency: string,
  source: AsyncIterable<Ranking> | Iterable<Ranking>,
  now: Date,
): Promise<LoadReport> {
  const best = new Map<string, Map<string, Ranking>>()
  const phrases = new Map<string, { readonly id: string; readonly list: string; readonly url: string }>()
  for await (const one of source) {
    const id = `${one.list}/${one.url.replace('https://github.com/', '')}`
    const day = best.get(one.day) ?? new Map<string, Ranking>()
    best.set(one.day, day)
    const before = day.get(id)
    if (before === undefined || one.rank < before.rank) day.set(id, one)
    if (!phrases.has(id)) phrases.set(id, { id, list: one.list, url: one.url })
  }
  const days = [...best.keys()].sort()
  const newest = Date.parse(`${days.at(-1)}T00:00:00Z`)
  const today = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate())
  const lists = [...new Set([...phrases.values()].map(({ list }) => list))]
  await tm.upsert(
    projects,
    lists.map((list) => ({ agency, id: list, name: list.replaceAll('-', ' '), domain: 'github.com' })),
  )
  await tm.upsert(
    keywords,
    [...phrases.values()].map(({ id, list, url }) => ({ agency, id, project: list, phrase: url })),
  )
  const moved = today - newest
  const rows = (from: number, to: number) =>
    days
      .filter(
        (day) =>
          Date.parse(`${day}T00:00:00Z`) + moved >= from && Date.parse(`${day}T00:00:00Z`) + moved < to,
      )
      .flatMap((day) =>
        [...(best.get(day) as Map<string, Ranking>)].map(([keyword, { list, rank, url, stars }]) => ({
          checked_at: new Date(Date.parse(`${day}T00:00:00Z`) + moved),
          agency,
          project: list,
          keyword,
          position: rank,
          url,
          stars,
        })),
      )
  const border = today - 90 * 86_400_000
  const old = rows(Number.NEGATIVE_INFINITY, border)
  const recent = rows(border, Number.POSITIVE_INFINITY)
  await tm.insert(rankings, old, { connections: 2 })
  await tm.insert(rankings, recent)
  if (old.length > 0) await tm.freeze('rankings')
  return {
    rankings: old.length + recent.length,
    keywords: phrases.size,
    movedDays: Math.round(moved / 86_400_000),
  }
}

export function hasRealRankings(): boolean {
  return existsSync(realRankings)
}
