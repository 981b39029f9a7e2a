import type { FilterNode } from '../query/index.ts'
import { formatInstant, nextBucket } from '../time/index.ts'
import { raw, sql } from '../util/sql.ts'
import type { ProductContext, RetentionRow } from './contract.ts'
import { micros, periodsSql, Question, share } from './question.ts'

const always: FilterNode = { kind: 'and', filters: [] }

/**
 * Which share of the users who began in a period came back in those after it. A user belongs to the period of its first `cohort`
 * event in the range. `returning` events at that moment and later count, also in the cohort's own period.
 */
export async function retention(input: unknown, context: ProductContext) {
  const question = new Question(input, ['cohort', 'returning', 'period', 'periods', 'kind'], context)
  const { range } = question
  const cohort = question.match(question.fields['cohort'], 'cohort')
  const returning = question.match(question.fields['returning'], 'returning')
  const spec = question.bucket('period', null)
  const periods = question.whole('periods', 12, 1, 366)
  const kind = question.choice('kind', ['bounded', 'unbounded'])
  const borders = question.borders(spec)
  const cohorts = borders.length - 1
  for (let i = 1; i < periods; i++) borders.push(nextBucket(spec, borders.at(-1)!))
  const end = borders.at(-1)!
  return question.answer<RetentionRow>(
    {
      range: { from: range.from, to: end },
      where: cohort && returning ? question.ofSomebody(cohort, returning) : question.ofSomebody(),
      flags: [cohort ?? always, returning ?? always],
    },
    async (events) => {
      const counted = raw(kind === 'bounded' ? 'o' : 'max(o)')
      const found = await events.ask(sql`
        with b as (select * from ${periodsSql(borders.slice(0, -1))} b),
        e as materialized (select u, t, m, b.i from events asof join b on t >= b.s),
        c as (
          select u, min(t) as t0, min(i) as i0
          from e
          where (m & 1) <> 0 and t < ${raw(micros(range.to))}
          group by u
        ),
        r as (
          select distinct c.u, c.i0, e.i - c.i0 as o
          from c join e on e.u = c.u
          where (e.m & 2) <> 0 and e.t >= c.t0 and e.i - c.i0 < ${raw(String(periods))}
        ),
        -- unbounded: the last period in which a user came back
        o as (select u, i0, ${counted} as o from r ${raw(kind === 'bounded' ? '' : 'group by u, i0')})
        select i0, -1 as o, count(*) from c group by i0
        union all
        select i0, o, count(*) from o group by i0, o`)
      const counts = Array.from({ length: cohorts }, () => ({
        users: 0,
        at: new Array<number>(periods).fill(0),
      }))
      for (const [i, o, count] of found) {
        const row = counts[i as number]!
        if (o === -1) row.users = Number(count)
        else row.at[o as number] = Number(count)
      }
      return counts.map(({ users, at }, i) => {
        if (kind === 'unbounded') for (let o = periods - 2; o >= 0; o--) at[o]! += at[o + 1]!
        const returned = at.map((count, o) => (borders[i + o]! >= question.now ? null : count))
        return {
          cohort: formatInstant(borders[i]!),
          users,
          returned,
          shares: returned.map((count) => (count === null ? null : share(count, users))),
        }
      })
    },
  )
}
