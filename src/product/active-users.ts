import { formatInstant, type Instant, subtractInterval, type TimeRange } from '../time/index.ts'
import { join, raw, sql } from '../util/sql.ts'
import type { ActiveUsersRow, EventsPlan, EventsPlanPart, ProductContext } from './contract.ts'
import { overLimit, periodsSql, Question, readInterval, share, wrong } from './question.ts'

/** Windows of one question, over all of its buckets. */
const maxWindows = 10_000

type Found = { readonly rows: readonly ActiveUsersRow[] } & Omit<EventsPlan, 'elapsedMs'>

/**
 * Different users in windows that end where each bucket ends (where the range does, in the last one): with windows of a day, a week
 * and a month DAU, WAU and MAU. A window may begin before the range. Every user is counted exactly; with `method: 'uniques'` sketches
 * are merged, of which continuous aggregates keep those of the past.
 */
export async function activeUsers(input: unknown, context: ProductContext): Promise<Found> {
  const question = new Question(input, ['bucket', 'windows', 'method'], context)
  const { range } = question
  const method = question.choice('method', ['exact', 'uniques'])
  const borders = question.borders(question.bucket('bucket', '1 day'))
  const windows = readWindows(question)
  if ((borders.length - 1) * windows.length > maxWindows)
    throw overLimit('the number of buckets and windows', (borders.length - 1) * windows.length, maxWindows)
  const spans = borders.slice(1).flatMap((end) => {
    const to = end < range.to ? end : range.to
    return windows.map((window) => ({ from: subtractInterval(end, window, question.zone), to }))
  })
  const toRows = (counts: readonly number[]): readonly ActiveUsersRow[] => {
    const { maxRows } = context.limits
    if (borders.length - 1 > maxRows) throw overLimit('the number of rows', borders.length - 1, maxRows)
    return borders.slice(0, -1).map((start, i) => {
      const users = counts.slice(i * windows.length, (i + 1) * windows.length)
      return { bucket: formatInstant(start), users, stickiness: share(users[0]!, users.at(-1)!) }
    })
  }
  if (method === 'exact') return { ...(await countEvents(question, spans, toRows)), method, errorBound: null }
  const { counts, errorBound, parts, aggregates } = await context.uniques({
    dataset: context.dataset,
    where: question.where,
    refs: question.user.refs,
    windows: spans,
    lanes: windows.length,
  })
  const shown = parts.map(
    ({ source, rows, files }): EventsPlanPart => ({
      source,
      rows,
      // what is known of nothing else is withheld of files, too
      files: rows === null ? null : (files ?? 0),
    }),
  )
  const first = spans.reduce((least, { from }) => (from < least ? from : least), range.from)
  const ranges = question.ranges({ from: first, to: range.to })
  return { rows: toRows(counts), ...ranges, parts: shown, method, errorBound, aggregates }
}

/** How many users each of the windows has, from events. */
async function countEvents(
  question: Question,
  spans: readonly TimeRange[],
  toRows: (counts: readonly number[]) => readonly ActiveUsersRow[],
) {
  // between two neighbours of all ends a user counts in the same windows
  const ends = [...new Set(spans.flatMap(({ from, to }) => [from, to]))].sort((a, b) =>
    a < b ? -1 : a > b ? 1 : 0,
  )
  const placeOf = new Map(ends.map((end, i) => [end, i]))
  const first = ends[0] as Instant
  return question.answer<ActiveUsersRow>(
    { range: { from: first, to: question.range.to }, where: question.ofSomebody() },
    async (events) => {
      const listed = spans.map(({ from, to }, i) => raw(`(${i}, ${placeOf.get(from)}, ${placeOf.get(to)})`))
      const found = await events.ask(sql`
        with c as (select * from ${periodsSql(ends)} c),
        e as (select distinct u, c.i from events asof join c on t >= c.s),
        w as (select * from (values ${join(listed, ', ')}) w(id, a, z)),
        -- a user is counted in a window at its first place there: when the one before lies before the window
        seen as (select i, coalesce(lag(i) over (partition by u order by i), -1) as last from e),
        counted as (select i, last, count(*) as users from seen group by i, last)
        select w.id, sum(users)
        from counted join w on i >= w.a and i < w.z and last < w.a
        group by w.id`)
      const counts = new Array<number>(spans.length).fill(0)
      for (const [id, count] of found) counts[Number(id)] = Number(count)
      return toRows(counts)
    },
  )
}

function readWindows(question: Question) {
  const { windows = ['1 day', '7 days', '30 days'] } = question.fields
  if (!Array.isArray(windows) || windows.length === 0)
    return wrong('windows', "must be a list such as ['1 day', '7 days']")
  return windows.map((text: unknown, i) => readInterval(text, `windows[${i}]`))
}
