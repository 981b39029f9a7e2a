import { formatInstant } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import type { ProductContext, SessionsRow } from './contract.ts'
import { allOf, periodsSql, Question, seconds, share } from './question.ts'
import { sessionShape } from './session-sql.ts'

/**
 * How many sessions there were, and how long. Of a session that reaches beyond the range only the part inside is seen. It lies in
 * the bucket of its first event, and is the session of the user of that event.
 */
export async function sessions(input: unknown, context: ProductContext) {
  const question = new Question(input, ['timeout', 'bucket'], context)
  const shape = sessionShape(question)
  const borders = question.fields['bucket'] == null ? null : question.borders(question.bucket('bucket', null))
  return question.answer<SessionsRow>(
    { range: question.range, where: allOf(question.ofSomebody(), shape.where), texts: shape.texts },
    async (events) => {
      const found = await events.ask(sql`
        with s as (
          select first(u order by t, u) as u, min(t) as a, max(t) - min(t) as length, count(*) as events
          from ${shape.from}
          group by ${shape.key}
        ),
        b as (select * from ${periodsSql(borders?.slice(0, -1) ?? [question.range.from])} b)
        select
          b.i, count(*), count(distinct u), sum(length), quantile_disc(length, 0.5), sum(events),
          count(*) filter (where events = 1)
        from s asof join b on s.a >= b.s
        group by b.i`)
      const byPlace = new Map(found.map((row) => [row[0] as number, row]))
      return (borders?.slice(0, -1) ?? [null]).map((start, i): SessionsRow => {
        const [, count, users, length, median, happened, bounced] = byPlace.get(i) ?? [i, 0, 0, 0, null, 0, 0]
        const sessions = Number(count)
        return {
          ...(start === null ? {} : { bucket: formatInstant(start) }),
          sessions,
          users: Number(users),
          meanSeconds: sessions === 0 ? null : Number(length) / 1e6 / sessions,
          medianSeconds: seconds(median),
          eventsPerSession: share(Number(happened), sessions),
          bounceShare: share(Number(bounced), sessions),
        }
      })
    },
  )
}
