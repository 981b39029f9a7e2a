import type { ColumnDefinition, StoredDefinition } from '../schema/index.ts'
import { identifier, raw, sql } from '../util/sql.ts'
import type { ActualColumn, ActualRelation } from './inspect.ts'
import type { Wanted } from './probe.ts'
import { type Findings, type MigrationStep, step } from './step.ts'
import {
  columnComment,
  columnDefault,
  columnSql,
  columnType,
  fitName,
  relationName,
  text,
} from './table-ddl.ts'

export function diffColumns(
  definition: StoredDefinition,
  wanted: Wanted,
  actual: ActualRelation,
  before: { readonly definition: StoredDefinition } | null,
  out: Findings,
): void {
  const table = relationName(definition)
  for (const [column, declared] of Object.entries(definition.columns)) {
    const found = actual.columns.find((c) => c.name === column)
    if (found) {
      const want = wanted.relation.columns.find((c) => c.name === column)!
      diffColumn(definition, column, declared, want, found, before?.definition.columns[column] ?? null, out)
      continue
    }
    out.steps.push(addColumn(definition, column, declared, wanted.volatile.has(column)))
  }
  for (const extra of actual.columns.filter((c) => !Object.hasOwn(definition.columns, c.name))) {
    if (before && Object.hasOwn(before.definition.columns, extra.name)) {
      out.steps.push(
        step(definition.name, 'refused', `${definition.name} would lose the column "${extra.name}"`, [
          text(sql`alter table ${table} drop column ${identifier(extra.name)}`),
        ]),
      )
      continue
    }
    const blocks = extra.notNull && extra.default === null && extra.identity === '' && extra.generated === ''
    out.drift.push({
      relation: definition.name,
      sentence:
        `the column "${extra.name}" (${extra.type}) is not declared` +
        (blocks ? ', and has to be filled by every insert: it is NOT NULL without a default' : ''),
    })
  }
}

function addColumn(
  definition: StoredDefinition,
  column: string,
  declared: ColumnDefinition,
  isVolatile: boolean,
): MigrationStep {
  const { name } = definition
  const table = relationName(definition)
  const add = text(sql`alter table ${table} add column ${columnSql(column, declared)}`)
  if (!declared.nullable && (declared.default === null || isVolatile)) {
    const why = isVolatile
      ? 'its default differs from row to row, so that adding it rewrites the table'
      : 'it is NOT NULL without a default, and rows that exist would have no value'
    return step(name, 'refused', `${name} would get the column "${column}": ${why}`, [
      text(sql`alter table ${table} add column ${identifier(column)} ${raw(columnType(declared))}`),
      text(sql`update ${table} set ${identifier(column)} = ${raw(columnDefault(declared) ?? '…')}`),
      ...(declared.default === null ? [] : [setDefault(definition, column, declared)]),
      ...setNotNull(definition, column),
    ])
  }
  const statements = isVolatile
    ? [
        text(sql`alter table ${table} add column ${identifier(column)} ${raw(columnType(declared))}`),
        setDefault(definition, column, declared),
      ]
    : [add]
  if (declared.comment !== null) statements.push(text(columnComment(definition, column, declared.comment)))
  const note = isVolatile ? ' (rows that exist keep null: filling them would rewrite the table)' : ''
  return step(name, 'alter', `adds the column "${column}" to ${name}${note}`, statements)
}

function setDefault(definition: StoredDefinition, column: string, declared: ColumnDefinition): string {
  return text(
    sql`alter table ${relationName(definition)} alter column ${identifier(column)} set default ${raw(columnDefault(declared)!)}`,
  )
}

/** Without a scan under ACCESS EXCLUSIVE: SET NOT NULL believes a valid check. */
function setNotNull(definition: StoredDefinition, column: string): string[] {
  const table = relationName(definition)
  const check = identifier(fitName(`${definition.table}_${column}`, '_not_null'))
  const name = identifier(column)
  return [
    text(sql`alter table ${table} add constraint ${check} check (${name} is not null) not valid`),
    text(sql`alter table ${table} validate constraint ${check}`),
    text(sql`alter table ${table} alter column ${name} set not null`),
    text(sql`alter table ${table} drop constraint ${check}`),
  ]
}

function diffColumn(
  definition: StoredDefinition,
  column: string,
  declared: ColumnDefinition,
  want: ActualColumn,
  found: ActualColumn,
  before: ColumnDefinition | null,
  { steps, drift }: Findings,
): void {
  const { name } = definition
  const alter = sql`alter table ${relationName(definition)} alter column ${identifier(column)}`
  const add = (sentence: string, statement: string) => steps.push(step(name, 'alter', sentence, [statement]))
  if (found.type !== want.type) {
    const change = `the column "${column}" of ${name} from ${found.type} to ${want.type}`
    if (widensInPlace(found.type, want.type))
      add(`widens ${change}`, text(sql`${alter} type ${raw(want.type)}`))
    else
      steps.push(
        step(name, 'refused', `would change ${change}, which rewrites the table`, [
          text(sql`${alter} type ${raw(want.type)} using ${identifier(column)}::${raw(want.type)}`),
        ]),
      )
  }
  if (want.notNull && !found.notNull && !(definition.kind === 'hypertable' && column === definition.time))
    steps.push(
      step(
        name,
        'refused',
        `would make the column "${column}" of ${name} NOT NULL, and rows may hold null`,
        setNotNull(definition, column),
      ),
    )
  if (!want.notNull && found.notNull && found.identity === '')
    add(`allows null in the column "${column}" of ${name}`, text(sql`${alter} drop not null`))
  if (found.identity !== '' || found.generated !== '') {
    const what = found.generated === '' ? 'an identity column' : 'a generated column'
    drift.push({ relation: name, sentence: `the column "${column}" is ${what}; no declaration can say so` })
  } else if (want.default !== found.default) {
    if (declared.default !== null)
      add(
        `changes the default of the column "${column}" of ${name}`,
        setDefault(definition, column, declared),
      )
    else if (before?.default)
      add(`drops the default of the column "${column}" of ${name}`, text(sql`${alter} drop default`))
    else
      drift.push({
        relation: name,
        sentence: `the column "${column}" has the default ${found.default}, which is not declared`,
      })
  }
  if (declared.comment !== found.comment && (declared.comment !== null || before?.comment))
    add(
      `sets the comment of the column "${column}" of ${name}`,
      text(columnComment(definition, column, declared.comment)),
    )
}

/** Types whose values are stored alike, so that PostgreSQL changes only its catalog. */
function widensInPlace(from: string, to: string): boolean {
  if (to === 'text') return /^character varying(\(\d+\))?$/.test(from)
  const old = /^numeric\((\d+),(\d+)\)$/.exec(from)
  if (!old) return false
  if (to === 'numeric') return true
  const wider = /^numeric\((\d+),(\d+)\)$/.exec(to)
  return wider !== null && wider[2] === old[2] && Number(wider[1]) >= Number(old[1])
}
