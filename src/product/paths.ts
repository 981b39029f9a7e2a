import { raw, type Sql, sql } from '../util/sql.ts'
import type { PathsRow, ProductContext } from './contract.ts'
import { allOf, isThere, Question, wrong } from './question.ts'
import { sessionShape } from './session-sql.ts'

/**
 * Where sessions go, as the edges of a Sankey diagram: from each place of the path to the next. The same place again and again is
 * one place. Places of one microsecond go by name. Places that are not among the `top` ones of their step, by users and then by
 * name, are together `null`.
 */
export async function paths(input: unknown, context: ProductContext) {
  const question = new Question(input, ['of', 'start', 'end', 'depth', 'top', 'timeout'], context)
  const of = question.choice('of', question.columnOrNull('page') ? ['page', 'event'] : ['event', 'page'])
  const place = question.column(of)
  const { start = null, end = null } = question.fields
  if (start !== null && end !== null) wrong('end', 'start and end are two questions; ask one of them')
  for (const [path, name] of Object.entries({ start, end }))
    if (name !== null && typeof name !== 'string') wrong(path, `must be the name of a ${of}`)
  const depth = question.whole('depth', 5, 2, 20)
  const top = question.whole('top', 10, 1, 100)
  const shape = sessionShape(question)
  const anchor = (start ?? end) as string | null
  const first = anchor === null ? raw('1') : sql`min(n) filter (where p = ${anchor}::varchar) over w`
  const step = raw(end === null ? 'n - first + 1' : 'first - n + 1')
  return question.answer<PathsRow>(
    {
      range: question.range,
      where: allOf(question.ofSomebody(), isThere(place), shape.where),
      texts: [{ name: 'p', refs: [place] }, ...shape.texts],
    },
    async (events) => {
      const found = await events.ask(pathsSql(shape, { first, step, depth, top, isBackward: end !== null }))
      return found.map(([at, from, to, users, sessions]) => ({
        step: Number(at),
        from: from as string | null,
        to: to as string | null,
        users: Number(users),
        sessions: Number(sessions),
      }))
    },
  )
}

interface PathShape {
  /** The place in its session where the path begins, or ends. */
  readonly first: Sql
  readonly step: Sql
  readonly depth: number
  readonly top: number
  readonly isBackward: boolean
}

function pathsSql(
  { from, key }: { readonly from: Sql; readonly key: Sql },
  { first, step, depth, top, isBackward }: PathShape,
): Sql {
  const [earlier, later] = isBackward ? ['far', 'near'] : ['near', 'far']
  return sql`
    with v as (
      select ${key}, u, p, row_number() over (partition by ${key} order by t, p, n) as n
      from (
        select *, row_number() over w as n, lag(p) over w as before
        from ${from}
        window w as (partition by ${key} order by t, p, u)
      ) v
      where p is distinct from before
    ),
    placed as (
      select *, ${step} as step
      from (select *, ${first} as first from v window w as (partition by ${key})) v
    ),
    path as materialized (select * from placed where step between 1 and ${raw(String(depth))}),
    named as (
      select step, p
      from path
      group by step, p
      qualify row_number() over (partition by step order by count(distinct u) desc, p) <= ${raw(String(top))}
    ),
    edges as (
      select step, p as near, lead(p) over w as far, lead(step) over w as next, u
      from path
      window w as (partition by ${key} order by step)
    )
    select e.step, ${raw(`${earlier}.p, ${later}.p`)}, count(distinct e.u), count(*)
    from edges e
    left join named near on near.step = e.step and near.p = e.near
    left join named far on far.step = e.next and far.p = e.far
    where e.next is not null
    group by 1, 2, 3
    order by 1, 4 desc, 2 nulls last, 3 nulls last`
}
