import type { StoredDefinition } from '../schema/index.ts'
import { identifier, sql } from '../util/sql.ts'
import type { ActualRelation } from './inspect.ts'
import type { Wanted } from './probe.ts'
import { type Findings, step } from './step.ts'
import { columnList, createIndexSql, fitName, relationName, text } from './table-ddl.ts'

export function diffPrimaryKey(
  definition: StoredDefinition,
  actual: ActualRelation,
  { steps, drift }: Findings,
): void {
  const { name, primaryKey } = definition
  const found = actual.indexes.find((index) => index.isPrimary)
  if (primaryKey === null) {
    if (found)
      drift.push({
        relation: name,
        sentence: `the primary key (${found.columns.join(', ')}) is not declared`,
      })
    return
  }
  if (found && found.columns.join('\0') === primaryKey.join('\0')) return
  const table = relationName(definition)
  const has = found ? `(${found.columns.join(', ')})` : 'none'
  const statements = found ? [text(sql`alter table ${table} drop constraint ${identifier(found.name)}`)] : []
  statements.push(
    text(
      sql`alter table ${table} add constraint ${identifier(fitName(definition.table, '_pkey'))} primary key (${columnList(primaryKey)})`,
    ),
  )
  steps.push(
    step(
      name,
      'refused',
      `would change the primary key of ${name} from ${has} to (${primaryKey.join(', ')})`,
      statements,
    ),
  )
}

export function diffIndexes(
  definition: StoredDefinition,
  wanted: Wanted,
  actual: ActualRelation,
  { steps, drift }: Findings,
): void {
  const table = relationName(definition)
  const used = new Set(actual.indexes.filter((index) => index.isPrimary).map((index) => index.name))
  const findEqual = (signature: string) =>
    actual.indexes.find((other) => other.isValid && other.signature === signature && !used.has(other.name))
  for (const index of definition.indexes) {
    const signature = wanted.signatures.get(index.name)!
    const found = actual.indexes.find((other) => other.name === index.name)
    if (found && found.signature !== signature) {
      used.add(found.name)
      steps.push(
        step(definition.name, 'refused', `the index "${index.name}" of ${definition.name} is another one`, [
          text(sql`drop index concurrently ${identifier(definition.schema, index.name)}`),
        ]),
      )
      continue
    }
    const equal = found?.isValid ? found : findEqual(signature)
    if (equal) {
      used.add(equal.name)
      if (equal !== found)
        drift.push({
          relation: definition.name,
          sentence: `the declared index "${index.name}" is there under the name "${equal.name}"`,
        })
      continue
    }
    used.add(index.name)
    const what = found ? 'finishes' : 'creates'
    steps.push(
      step(
        definition.name,
        'create-index',
        `${what} the index "${index.name}" on ${definition.name}, with writers going on`,
        [text(createIndexSql(index, table, { name: index.name, concurrently: definition.kind === 'table' }))],
        index.name,
      ),
    )
  }
  for (const extra of actual.indexes.filter((index) => !used.has(index.name)))
    drift.push({
      relation: definition.name,
      sentence: `the index "${extra.name}" is not declared${extra.isValid ? '' : ', and is not valid'}`,
    })
}
