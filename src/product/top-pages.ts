import { raw, sql } from '../util/sql.ts'
import type { ProductContext, TopPagesRow } from './contract.ts'
import { allOf, isThere, Question, share } from './question.ts'
import { sessionShape } from './session-sql.ts'

/** The pages with the most views, and what they are to the sessions that pass through. Views of one microsecond go by name. */
export async function topPages(input: unknown, context: ProductContext) {
  const question = new Question(input, ['views', 'timeout', 'top'], context)
  const page = question.column('page')
  const views = question.match(question.fields['views'], 'views')
  const top = question.whole('top', 20, 1, 10_000)
  const shape = sessionShape(question)
  return question.answer<TopPagesRow>(
    {
      range: question.range,
      where: allOf(question.ofSomebody(), isThere(page), views, shape.where),
      texts: [{ name: 'p', refs: [page] }, ...shape.texts],
    },
    async (events) => {
      const found = await events.ask(sql`
        select
          p, count(*), count(distinct u),
          count(*) filter (where n = 1), count(*) filter (where next is null),
          count(*) filter (where n = 1 and next is null), sum(next - t), count(next)
        from (
          select u, p, t, row_number() over w as n, lead(t) over w as next
          from ${shape.from}
          window w as (partition by ${shape.key} order by t, p)
        ) v
        group by p
        order by count(*) desc, p
        limit ${raw(String(top))}`)
      return found.map(([name, count, users, entrances, exits, bounces, time, followed]) => ({
        page: name as string,
        views: Number(count),
        users: Number(users),
        entrances: Number(entrances),
        exits: Number(exits),
        bounceShare: share(Number(bounces), Number(entrances)),
        meanSeconds: Number(followed) === 0 ? null : Number(time) / 1e6 / Number(followed),
      }))
    },
  )
}
