import type { FilterNode } from '../query/index.ts'
import { join, raw, type Sql, sql } from '../util/sql.ts'
import type { FunnelRow, ProductContext } from './contract.ts'
import { micros, overLimit, Question, seconds, share, wrong } from './question.ts'

const maxSteps = 20
const maxSegments = 1_000

/**
 * How many users go through steps. A start is an event of the first step in the range. From it, each step is the first event after
 * that of the step before it that matches, in the order of the user's events (time; of one microsecond those of earlier steps
 * first), and counts when it is at most `within` after the start. One event is at most one step. A user counts for the start that
 * comes furthest, of those the earliest. With `by` a start counts in the segment that it says.
 */
export async function funnel(input: unknown, context: ProductContext) {
  const question = new Question(input, ['steps', 'within', 'by', 'order'], context)
  const { range } = question
  const steps = readSteps(question)
  const within = question.span('within', null)
  const order = question.choice('order', ['ordered', 'strict'])
  const by = question.name('by')
  return question.answer<FunnelRow>(
    {
      range: { from: range.from, to: range.to + within },
      where: order === 'strict' ? question.ofSomebody() : question.ofSomebody(...steps),
      flags: steps,
      texts: by ? [{ name: 'g', refs: [by] }] : [],
    },
    async (events) => {
      const found = await events.ask(
        funnelSql({
          count: steps.length,
          from: range.from,
          to: range.to,
          within,
          order,
          hasSegments: by !== null,
        }),
      )
      if (found.length > maxSegments) throw overLimit('the number of segments', found.length, maxSegments)
      const segments: readonly (readonly unknown[])[] =
        found.length > 0 || by !== null ? found : [[null, ...steps.flatMap(() => [0, null, null])]]
      return segments.flatMap(([segment, ...values]) =>
        rowsOf(values, by ? { segment: segment as string | null } : {}),
      )
    },
  )
}

function readSteps(question: Question): readonly FilterNode[] {
  const { steps } = question.fields
  if (!Array.isArray(steps) || steps.length === 0)
    return wrong('steps', "must be a list such as ['visit', 'signup']")
  if (steps.length > maxSteps) throw overLimit('the number of steps', steps.length, maxSteps)
  return steps.map(
    (step: unknown, i) =>
      question.match(step, `steps[${i}]`) ?? wrong(`steps[${i}]`, 'is empty; name an event, or say where'),
  )
}

function rowsOf(values: readonly unknown[], segment: { readonly segment?: string | null }): FunnelRow[] {
  const users = (step: number): number => Number(values[step * 3] ?? 0)
  return Array.from({ length: values.length / 3 }, (_, step) => ({
    ...segment,
    step: step + 1,
    users: users(step),
    ofFirst: share(users(step), users(0)),
    ofPrevious: step === 0 ? share(users(0), users(0)) : share(users(step), users(step - 1)),
    medianSeconds: seconds(values[step * 3 + 1]),
    p95Seconds: seconds(values[step * 3 + 2]),
  }))
}

interface FunnelShape {
  readonly count: number
  readonly from: bigint
  readonly to: bigint
  readonly within: bigint
  readonly order: 'ordered' | 'strict'
  readonly hasSegments: boolean
}

/**
 * A row for each segment: its name, then for each step the users, and the median and 95th percentile of the time to it.
 *
 * Every start walks the steps by a chain of ASOF joins, each to the first later event of the next step: one sort for each step,
 * whatever lies between. Looking at every event for every start, or at lists of events in each user's order, grows with the square of
 * what one user does.
 */
function funnelSql({ count, from, to, within, order, hasSegments }: FunnelShape): Sql {
  const g = raw(hasSegments ? 'g' : 'null::varchar')
  const isStart = raw(`(m & 1) <> 0 and t >= ${micros(from)} and t < ${micros(to)}`)
  const steps = Array.from({ length: count - 1 }, (_, i) => i + 2)
  const bit = (step: number): number => 2 ** (step - 1)
  const ordered = sql`
    select u, t, m, ${g} as g,
      row_number() over (
        partition by u
        order by t, case when m = 0 then ${raw(String(2 ** maxSteps))} else m & -m end, m${raw(hasSegments ? ', g' : '')}
      ) as n
    from events`
  const walked =
    order === 'strict'
      ? sql`
        select * from (
          select u, g, n as n1, t as t1, m ${join(
            steps.map((step) =>
              raw(`,
              case when (lead(m, ${step - 1}) over w & ${bit(step)}) <> 0 then lead(t, ${step - 1}) over w end as t${step}`),
            ),
            '',
          )}
          from e
          window w as (partition by u order by n)
        ) e
        -- named t1 by now
        where ${raw(`(m & 1) <> 0 and t1 >= ${micros(from)} and t1 < ${micros(to)}`)}`
      : steps.reduce(
          (before, step) => sql`
            select s.*, e.n as ${raw(`n${step}`)}, e.t as ${raw(`t${step}`)}
            from (${before}) s
            asof left join (select u, n, t from e where (m & ${raw(String(bit(step)))}) <> 0) e
              on s.u = e.u and s.${raw(`n${step - 1}`)} < e.n`,
          sql`select u, g, n as n1, t as t1 from e where ${isStart}`,
        )
  const reached = steps.map((step) =>
    raw(
      `when ${steps
        .filter((one) => one <= step)
        .map((one) => `t${one} is not null and t${one} - t1 <= ${micros(within)}`)
        .join(' and ')} then ${step}`,
    ),
  )
  const level = count === 1 ? raw('1') : sql`case ${join([...reached].reverse(), ' ')} else 1 end`
  const columns = steps.map((step) =>
    raw(`
      , count(*) filter (where level >= ${step})
      , quantile_disc(t${step} - t1, 0.5) filter (where level >= ${step})
      , quantile_disc(t${step} - t1, 0.95) filter (where level >= ${step})`),
  )
  return sql`
    with e as materialized (${ordered}),
    walked as (select *, ${level} as level from (${walked}) w),
    best as (
      select * from walked
      qualify row_number() over (partition by u, g order by level desc, n1) = 1
    )
    select g, count(*), null, null${join(columns, '')}
    from best
    group by g
    order by count(*) desc, g
    limit ${raw(String(maxSegments + 1))}`
}
