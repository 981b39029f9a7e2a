import { encodeDefinition, type HypertableDefinition, type StoredDefinition } from '../schema/index.ts'
import { sql } from '../util/sql.ts'
import { appendOnlySql } from './append-only.ts'
import { catalogSentence, catalogStatement, forgetStatements, sameJson } from './catalog-entry.ts'
import { createTableStatements } from './create-table.ts'
import { diffColumns } from './diff-columns.ts'
import { diffIndexes, diffPrimaryKey } from './diff-indexes.ts'
import type { ActualRelation, CatalogEntry } from './inspect.ts'
import type { Wanted } from './probe.ts'
import { type Drift, type Findings, type MigrationStep, step } from './step.ts'
import { commentSql, relationName, text, timeCheckName } from './table-ddl.ts'
import { grantSelect, type TenantRoles } from './tenant-roles.ts'
import { protectStatements } from './tenant-rows.ts'

export interface RelationDiff {
  readonly steps: readonly MigrationStep[]
  readonly drift: readonly Drift[]
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
  { hasReader }: Pick<TenantRoles, 'hasReader'>,
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
    if (definition.tenant !== null)
      statements.push(...protectStatements(definition, definition, true).map(text))
    if (hasReader) statements.push(grantSelect(definition))
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
  { steps }: Findings,
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

function diffComments(
  definition: StoredDefinition,
  actual: ActualRelation,
  before: { readonly definition: StoredDefinition } | null,
  { steps }: Findings,
): void {
  if (definition.comment === actual.comment) return
  if (definition.comment === null && !before?.definition.comment) return
  steps.push(
    step(definition.name, 'alter', `sets the comment of ${definition.name}`, [
      text(commentSql(sql`table ${relationName(definition)}`, definition.comment)),
    ]),
  )
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
