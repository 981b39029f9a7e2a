import fc from 'fast-check'
import { compare, limitFor, show } from '../queries.ts'
import { defineStep, type StepKind } from '../step.ts'
import { hypertableNames, rowsArbitrary } from '../tables.ts'
import { storedRow } from '../values.ts'
import { endOf, isBusy } from '../world.ts'
import { fresh } from './writes.ts'

/** Rows that arrive while somebody pages: they neither hide a row that was there nor show one twice. */

const pagingStep = defineStep({
  name: 'rows arrive between two pages',
  weight: 3,
  args: fc.constantFrom(...hypertableNames).chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: rowsArbitrary(name, { maxLength: 12 }),
      limit: fc.integer({ min: 1, max: 30 }),
      direction: fc.constantFrom('asc', 'desc'),
      pages: fc.integer({ min: 1, max: 5 }),
    }),
  ),
  async run(world, { name, rows: given, limit: asked, direction, pages }) {
    const limit = Math.max(asked, limitFor(world, name, pages + 4))
    const definition = world.engineDefinition(0, name)
    const before = [...world.rows(name)]
    const mark = world.nextMark()
    const rows = world.complete(definition, fresh(world, definition, given), mark)
    const seen: Record<string, unknown>[] = []
    let cursor: string | null = null
    let outcome = 'before the end'
    for (let page = 0; page === 0 || cursor !== null; page += 1) {
      if (page === pages) outcome = await insert()
      const input = { limit, direction, ...(cursor === null ? {} : { cursor }) }
      const answer = await world.engine(0).queryUnknown(name, input)
      seen.push(...(answer.rows as Record<string, unknown>[]))
      cursor = answer.cursor
    }
    const known = seen.filter((row) => row['mark'] !== mark)
    compare(
      world,
      definition,
      { limit, direction },
      before,
      { rows: known as never },
      `step ${world.step}, paging`,
    )
    const arrived = seen.length - known.length
    if (arrived > rows.length)
      throw new Error(`${arrived} of ${rows.length} new rows were shown: ${show(rows)}`)
    return outcome

    async function insert(): Promise<string> {
      const signal = world.patience()
      const end = await endOf(world, () =>
        world.engine(1).insertUnknown(name, rows.map(knownToOther), { signal }),
      )
      if (end.ok) {
        const draft = world.draft(name)
        draft.add(rows.map((row) => storedRow(world.engineDefinition(1, name), knownToOther(row))))
        world.commit(name, draft)
        return 'done'
      }
      if (end.code === 'TM_CHUNK_CAP') return 'over the cap'
      if (end.code === 'TM_EXPIRED') return 'past the retention'
      if (isBusy(end.code)) return 'busy'
      throw new Error(`an insert into ${name} gave ${end.code}`)
    }

    /** The other engine may know fewer columns. */
    function knownToOther(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
      const { columns } = world.engineDefinition(1, name)
      return Object.fromEntries(Object.entries(row).filter(([column]) => column in columns))
    }
  },
})

export const pagingSteps: readonly StepKind<never>[] = [
  pagingStep,
] as readonly unknown[] as readonly StepKind<never>[]
