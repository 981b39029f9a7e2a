import { bucketStart, formatInstant, minInstant } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import type { LifecycleRow, ProductContext } from './contract.ts'
import { periodsSql, Question } from './question.ts'

/**
 * What became of users from period to period. It reads every event before the range, too, or those since `since`: who is new nobody
 * has seen before.
 */
export async function lifecycle(input: unknown, context: ProductContext) {
  const question = new Question(input, ['period', 'since'], context)
  const spec = question.bucket('period', null)
  const borders = question.borders(spec)
  const since = question.since('since')
  const before = bucketStart(spec, borders[0]! - 1n)
  // 0: long ago, 1: the period before the first one
  const starts = [minInstant, before, ...borders.slice(0, -1)]
  return question.answer<LifecycleRow>(
    { range: { from: since, to: question.range.to }, where: question.ofSomebody() },
    async (events) => {
      const found = await events.ask(sql`
        with b as (select * from ${periodsSql(starts)} b),
        e as (select distinct u, b.i from events asof join b on t >= b.s),
        seen as (select i, lag(i) over (partition by u order by i) as last from e)
        select
          i, count(*), count(*) filter (where last is null),
          -- long ago is not the period before the one before
          count(*) filter (where last = i - 1 and last > 0)
        from seen
        group by i`)
      const byPlace = new Map(found.map((row) => [row[0] as number, row.map(Number)]))
      return borders.slice(0, -1).map((start, at) => {
        const [, active = 0, fresh = 0, returning = 0] = byPlace.get(at + 2) ?? []
        const [, activeBefore = 0] = byPlace.get(at + 1) ?? []
        return {
          period: formatInstant(start),
          new: fresh,
          returning,
          resurrecting: active - fresh - returning,
          dormant: activeBefore - returning,
        }
      })
    },
  )
}
