import fc from 'fast-check'
import type { IndexDefinition, StoredDefinition } from '../../../src/schema/index.ts'
import { hypertable, t } from '../../../src/schema/index.ts'
import { defineStep, type StepKind } from '../step.ts'
import { addedColumns, tableNames } from '../tables.ts'
import { endOf, isBusy, type World } from '../world.ts'

/** Declarations that change while rows are written; engines learn of it when they start anew. */

/** What a nullable text column is, once it is checked. */
const { note } = hypertable('oracle.sample', {
  columns: { time: t.timestamptz(), note: t.text().nullable() },
  time: 'time',
}).columns

async function migrateTo(world: World, changed: StoredDefinition): Promise<string> {
  const definitions = [...world.definitions.values()].map((d) => (d.name === changed.name ? changed : d))
  const tm = await world.createEngine(definitions)
  try {
    const end = await endOf(world, () =>
      tm.migrate({ lockTimeoutMs: 100, tries: world.isContended ? 2 : 30 }),
    )
    if (!end.ok && isBusy(end.code)) return 'busy'
    if (!end.ok) throw new Error(`a migration of ${changed.name} gave ${end.code}`)
    if (end.value.steps.length === 0) throw new Error(`a migration of ${changed.name} did nothing`)
    world.definitions.set(changed.name, tm.dataset(changed.name))
    return 'done'
  } finally {
    await tm.close()
  }
}

const columnStep = defineStep({
  name: 'a column is added',
  weight: 1,
  args: fc.record({
    name: fc.constantFrom(...tableNames),
    column: fc.constantFrom(...Object.keys(addedColumns)),
  }),
  async run(world, { name, column }) {
    const definition = world.definition(name)
    if (column in definition.columns) return 'none'
    return migrateTo(world, { ...definition, columns: { ...definition.columns, [column]: note! } })
  },
})

const indexStep = defineStep({
  name: 'an index is added',
  weight: 1,
  args: fc.record({ name: fc.constantFrom(...tableNames), isDescending: fc.boolean() }),
  async run(world, { name, isDescending }) {
    // CREATE INDEX CONCURRENTLY waits for every open transaction, and steps come one after the other
    if (world.isContended) return 'none'
    const definition = world.definition(name)
    const indexName = `oracle_${definition.table}_${isDescending ? 'desc' : 'asc'}`
    if (definition.indexes.some((index) => index.name === indexName)) return 'none'
    const direction = isDescending ? 'desc' : 'asc'
    const index: IndexDefinition = {
      name: indexName,
      columns: [{ column: 'tag', direction }],
      unique: false,
      method: 'btree',
      where: null,
    }
    return migrateTo(world, { ...definition, indexes: [...definition.indexes, index] })
  },
})

export const schemaSteps: readonly StepKind<never>[] = [
  columnStep,
  indexStep,
] as readonly unknown[] as readonly StepKind<never>[]
