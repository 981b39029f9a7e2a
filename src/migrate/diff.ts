import {
  type ColumnDefinition,
  encodeDefinition,
  type HypertableDefinition,
  type StoredDefinition,
} from '../schema/index.ts'
import { approximateMicros } from '../time/index.ts'
import { identifier, quoteLiteral, raw, sql } from '../util/sql.ts'
import { appendOnlySql } from './append-only.ts'
import type { ActualColumn, ActualRelation, CatalogEntry } from './inspect.ts'
import type { Wanted } from './probe.ts'
import { type Drift, type MigrationStep, step } from './step.ts'
import {
  chunkSchema,
  columnDefault,
  columnList,
  columnSql,
  columnType,
  commentSql,
  createIndexSql,
  fitName,
  relationName,
  tableBody,
  text,
  timeCheckName,
} from './table-ddl.ts'

export interface RelationDiff {
  readonly steps: readonly MigrationStep[]
  readonly drift: readonly Drift[]
}

/** The first part of `define metrics.cpu`: everything but the rows. In one transaction with the catalog's row. */
export function createTableStatements(definition: StoredDefinition): string[] {
  const name = relationName(definition)
  const partitioned =
    definition.kind === 'hypertable' ? sql`\npartition by range (${identifier(definition.time)})` : sql``
  const statements = [text(sql`create table ${name} (\n  ${tableBody(definition)}\n)${partitioned}`)]
  if (definition.kind === 'hypertable')
    statements.push(
      text(
        sql`create table ${identifier(chunkSchema, defaultPartitionName(definition))} partition of ${name} default`,
      ),
    )
  for (const index of definition.indexes)
    statements.push(text(createIndexSql(index, name, { name: index.name })))
  return [...statements, ...commentStatements(definition)]
}

/** Tables of two schemas can have one name, and all chunks live in one schema. */
export function defaultPartitionName(definition: HypertableDefinition): string {
  const name = definition.schema === 'public' ? definition.table : `${definition.schema}_${definition.table}`
  return fitName(name, '_default')
}

function commentStatements(definition: StoredDefinition): string[] {
  const statements: string[] = []
  const name = relationName(definition)
  if (definition.comment !== null) statements.push(text(commentSql(sql`table ${name}`, definition.comment)))
  for (const [column, d] of Object.entries(definition.columns))
    if (d.comment !== null) statements.push(text(columnComment(definition, column, d.comment)))
  return statements
}

function columnComment(definition: StoredDefinition, column: string, comment: string | null) {
  return commentSql(sql`column ${identifier(definition.schema, definition.table, column)}`, comment)
}

/** The catalog's row of a declared relation; insert or update. */
export function catalogStatement(definition: StoredDefinition): string {
  const json = quoteLiteral(JSON.stringify(encodeDefinition(definition)))
  if (definition.kind === 'table')
    return text(sql`insert into tidemark.relation (schema_name, relation_name, kind, definition)
values (${definition.schema}, ${definition.table}, 'table', ${raw(json)}::jsonb)
on conflict (schema_name, relation_name) do update set definition = excluded.definition`)
  return text(sql`insert into tidemark.hypertable (
  schema_name, table_name, time_column, tenant_column, chunk_interval, max_chunks, change_cell_us, append_only,
  definition
)
values (
  ${definition.schema}, ${definition.table}, ${definition.time}, ${definition.tenant}, ${definition.chunk.text},
  ${definition.maxChunks}, ${approximateMicros(definition.changeCell)}, ${definition.appendOnly}, ${raw(json)}::jsonb
)
on conflict (schema_name, table_name) do update set
  chunk_interval = excluded.chunk_interval,
  max_chunks = excluded.max_chunks,
  change_cell_us = excluded.change_cell_us,
  append_only = excluded.append_only,
  definition = excluded.definition,
  epoch = tidemark.hypertable.epoch + 1`)
}

/**
 * What the catalog still holds of a hypertable of this name that was dropped by hand: its chunks, consumers and log
 * mean nothing for the new one.
 */
export function forgetStatements(name: { readonly schema: string; readonly table: string }): string[] {
  const { schema, table } = name
  return [
    text(sql`delete from tidemark.change_log
where hypertable_id in (select id from tidemark.hypertable where schema_name = ${schema} and table_name = ${table})`),
    text(sql`delete from tidemark.hypertable where schema_name = ${schema} and table_name = ${table}`),
  ]
}

/**
 * What it takes from `actual` to `definition`. Pure.
 *
 * @param wanted the declared table as PostgreSQL would spell it
 * @param actual null when there is no such relation
 * @param before what was declared the last time; null when it never was
 */
export function diffRelation(
  definition: StoredDefinition,
  wanted: Wanted,
  actual: ActualRelation | null,
  before: (CatalogEntry & { readonly definition: StoredDefinition }) | null,
): RelationDiff {
  const { name } = definition
  if (actual === null) {
    const what = definition.kind === 'hypertable' ? 'hypertable' : 'table'
    const statements = [
      ...createTableStatements(definition),
      ...(definition.kind === 'hypertable' ? forgetStatements(definition) : []),
      catalogStatement(definition),
    ]
    if (definition.appendOnly) statements.push(text(appendOnlySql(name, definition)))
    return { steps: [step(name, `create-${what}`, `creates the ${what} ${name}`, statements)], drift: [] }
  }
  const kindProblem = wrongKind(definition, actual, before)
  if (kindProblem) return { steps: [step(name, 'refused', kindProblem, [`-- ${kindProblem}`])], drift: [] }

  const steps: MigrationStep[] = []
  const drift: Drift[] = []
  const out = { steps, drift }
  diffIdentity(definition, before, out)
  diffColumns(definition, wanted, actual, before, out)
  diffPrimaryKey(definition, actual, out)
  if (definition.kind === 'hypertable' && actual.relkind === 'r') {
    // What else differs is done to the hypertable afterwards; what is refused is refused before rows are moved.
    const refused = steps.filter((s) => s.class === 'destructive')
    return { steps: refused.length > 0 ? refused : [convertStep(definition, actual)], drift }
  }
  diffComments(definition, actual, before, out)
  diffIndexes(definition, wanted, actual, out)
  if (definition.kind === 'hypertable' && !actual.checks.includes(timeCheckName(definition.table)))
    drift.push({
      relation: name,
      sentence: `the check "${timeCheckName(definition.table)}" is gone: a row at infinity would get into the default partition`,
    })
  if (!before || !sameJson(encodeDefinition(definition), encodeDefinition(before.definition)))
    steps.push(
      step(name, 'catalog', catalogSentence(definition, before?.definition ?? null), [
        catalogStatement(definition),
      ]),
    )
  return out
}

interface Out {
  readonly steps: MigrationStep[]
  readonly drift: Drift[]
}

function wrongKind(
  definition: StoredDefinition,
  actual: ActualRelation,
  before: CatalogEntry | null,
): string | null {
  const kinds: Readonly<Record<string, string>> = {
    v: 'a view',
    m: 'a materialized view',
    f: 'a foreign table',
    S: 'a sequence',
    c: 'a composite type',
    i: 'an index',
    I: 'an index',
  }
  const found = kinds[actual.relkind]
  if (found) return `${definition.name} is ${found}, and is declared as a ${definition.kind}`
  if (definition.kind === 'table')
    return actual.relkind === 'p'
      ? `${definition.name} is partitioned${before?.kind === 'hypertable' ? ' as a hypertable' : ''}, and is declared as a plain table`
      : null
  if (actual.relkind === 'p' && before?.kind !== 'hypertable')
    return `${definition.name} is partitioned already, and not by tidemark; copy its rows into a hypertable of another name`
  return null
}

/** What a hypertable's files, aggregates and change log are made of cannot change under them. */
function diffIdentity(
  definition: StoredDefinition,
  before: { readonly definition: StoredDefinition } | null,
  { steps }: Out,
): void {
  if (!before) return
  const old = before.definition
  const changes: string[] = []
  if (old.kind === 'hypertable' && definition.kind === 'hypertable' && old.time !== definition.time)
    changes.push(`its time column from "${old.time}" to "${definition.time}"`)
  if (old.kind === 'hypertable' && old.tenant !== definition.tenant)
    changes.push(`its tenant column from ${shown(old.tenant)} to ${shown(definition.tenant)}`)
  for (const change of changes)
    steps.push(
      step(definition.name, 'refused', `${definition.name} would change ${change}`, [
        `-- ${definition.name} would change ${change}: declare a hypertable of another name and copy the rows into it`,
      ]),
    )
}

function shown(name: string | null): string {
  return name === null ? 'none' : `"${name}"`
}

function diffColumns(
  definition: StoredDefinition,
  wanted: Wanted,
  actual: ActualRelation,
  before: { readonly definition: StoredDefinition } | null,
  out: Out,
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
  { steps, drift }: Out,
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

function diffPrimaryKey(definition: StoredDefinition, actual: ActualRelation, { steps, drift }: Out): void {
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

function diffComments(
  definition: StoredDefinition,
  actual: ActualRelation,
  before: { readonly definition: StoredDefinition } | null,
  { steps }: Out,
): void {
  if (definition.comment === actual.comment) return
  if (definition.comment === null && !before?.definition.comment) return
  steps.push(
    step(definition.name, 'alter', `sets the comment of ${definition.name}`, [
      text(commentSql(sql`table ${relationName(definition)}`, definition.comment)),
    ]),
  )
}

function diffIndexes(
  definition: StoredDefinition,
  wanted: Wanted,
  actual: ActualRelation,
  { steps, drift }: Out,
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

function convertStep(definition: HypertableDefinition, actual: ActualRelation): MigrationStep {
  const rows = actual.estimatedRows
  const seconds = rows === null ? null : Math.max(1, Math.ceil(rows / rowsPerSecond))
  const size =
    rows === null
      ? 'of unknown size (never analysed)'
      : `with about ${Math.round(rows).toLocaleString('en-US')} rows`
  const time = seconds === null ? '' : `; takes about ${duration(seconds)}`
  return step(
    definition.name,
    'convert',
    `converts the existing table ${definition.name} ${size} into a hypertable, while it is read and written${time}`,
    [
      `-- copies ${definition.name} into chunks of ${definition.chunk.text} and takes its place; see docs/guide/migrating.md`,
    ],
  )
}

/** Copying and indexing on a machine with two cores (docs/design/conversion.md). Only for the sentence. */
const rowsPerSecond = 100_000

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}

function catalogSentence(definition: StoredDefinition, before: StoredDefinition | null): string {
  if (!before) return `takes ${definition.name} into the catalog`
  const old = encodeDefinition(before) as unknown as Record<string, unknown>
  const now = encodeDefinition(definition) as unknown as Record<string, unknown>
  const policies = ['chunk', 'maxChunks', 'orderBy', 'freeze', 'retain', 'changeCell', 'appendOnly']
  const changed = policies.filter((key) => !sameJson(old[key], now[key]))
  if (changed.length === 0) return `takes the new declaration of ${definition.name} into the catalog`
  const list = changed.map(
    (key) => `${key} ${JSON.stringify(old[key] ?? null)} → ${JSON.stringify(now[key] ?? null)}`,
  )
  const note = changed.includes('chunk') ? ' (of chunks that are made from now on)' : ''
  return `changes ${list.join(', ')} of ${definition.name}${note}`
}

/** jsonb forgets the order of keys. */
export function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a ?? null)) === JSON.stringify(sorted(b ?? null))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
