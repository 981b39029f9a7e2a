import { findHypertable, findTriggerProblems } from '../changelog/index.ts'
import { type Connection, type Database, sqlstateOf } from '../postgres/index.ts'
import { decodeDefinition, type StoredDefinition, type ViewDefinition } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { identifier, quoteLiteral, raw, sql } from '../util/sql.ts'
import { findUnguarded, guardSql } from './append-only.ts'
import { diffRelation } from './diff.ts'
import {
  type ActualRelation,
  type CatalogEntry,
  readCatalog,
  readRelations,
  readUnfinishedConversions,
} from './inspect.ts'
import { probeTables, probeView, readView } from './probe.ts'
import { type DeclaredRelation, type Drift, type MigrationPlan, type MigrationStep, step } from './step.ts'
import { tableChangeSteps } from './table-changes.ts'
import { commentSql, relationName, text } from './table-ddl.ts'
import {
  grantSelect,
  grantUsage,
  readerSteps,
  readTenantRoles,
  rolesStep,
  type TenantRoles,
} from './tenant-roles.ts'
import { tenantSteps } from './tenant-rows.ts'

/**
 * What it takes to bring the database to the declarations. Changes nothing.
 *
 * @example
 * const plan = await planMigration(db, [...config.datasets, ...config.views])
 * for (const { class: how, sentence, statements } of plan.steps) console.log(how, sentence, statements.join(';\n'))
 *
 * Errors: TM_DECLARATION when PostgreSQL refuses a type, a default or an index as it is declared.
 */
export async function planMigration(
  db: Database,
  definitions: readonly DeclaredRelation[],
): Promise<MigrationPlan> {
  return db.withConnection((connection) => planOn(connection, definitions))
}

export async function planOn(
  connection: Connection,
  definitions: readonly DeclaredRelation[],
): Promise<MigrationPlan> {
  const tables = definitions.filter((d): d is StoredDefinition => d.kind !== 'view')
  const views = definitions.filter((d): d is ViewDefinition => d.kind === 'view')
  const catalog = await readCatalog(connection)
  const actual = await readRelations(connection, definitions)
  const unfinished = await readUnfinishedConversions(connection)
  const wanted = await probeTables(connection, tables)

  const roles = await readTenantRoles(connection, definitions)
  const steps: MigrationStep[] = [
    ...rolesStep(roles),
    ...(await missingSchemas(connection, definitions, roles)),
    ...(await readerSteps(connection, inFinalForm(definitions, actual), roles)),
  ]
  const drift: Drift[] = []
  for (const definition of tables) {
    const entry = catalog.get(definition.name)
    const before = entry ? { ...entry, definition: readStored(entry) } : null
    const diff = diffRelation(
      definition,
      wanted.get(definition.name)!,
      actual.get(definition.name) ?? null,
      before?.definition ? { ...before, definition: before.definition } : null,
      roles,
    )
    steps.push(...diff.steps)
    drift.push(...diff.drift)
    // What is kept by triggers can only be looked at where the table is in its final form.
    const relkind = actual.get(definition.name)?.relkind
    if (unfinished.has(definition.name))
      steps.push(step(definition.name, 'convert', `finishes the conversion of ${definition.name}`, []))
    if (relkind !== (definition.kind === 'hypertable' ? 'p' : 'r')) continue
    // also of a table that is declared for the first time: before anybody is let in
    steps.push(...(await tenantSteps(connection, definition)))
    if (entry)
      steps.push(
        ...(await triggerSteps(connection, definition)),
        ...(await tableChangeSteps(connection, definition)),
      )
  }
  steps.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
  const tablesChange = steps.length > 0
  for (const view of views)
    steps.push(
      ...(await viewSteps(connection, view, actual.get(view.name) ?? null, catalog, tablesChange, roles)),
    )

  const declared = new Set(definitions.map((d) => d.name))
  const undeclared = [...catalog.keys()].filter((name) => !declared.has(name))
  return { steps, drift, undeclared }
}

/** What is there and is what it is declared as: before a table is converted it may hold tenants that nothing keeps apart. */
function inFinalForm(
  definitions: readonly DeclaredRelation[],
  actual: ReadonlyMap<string, ActualRelation>,
): readonly DeclaredRelation[] {
  const relkinds = { table: 'r', hypertable: 'p', view: 'v' }
  return definitions.filter(({ name, kind }) => actual.get(name)?.relkind === relkinds[kind])
}

/** A stable sort: within a kind the order of the declarations stays. The catalog's row comes after what it says. */
const order: readonly MigrationStep['kind'][] = [
  'refused',
  'roles',
  'create-schema',
  'create-table',
  'create-hypertable',
  'alter',
  'append-only',
  'tenant',
  'grant',
  'catalog',
  'change-log',
  'create-index',
  'convert',
  'view',
]

function readStored(entry: CatalogEntry): StoredDefinition | null {
  if (entry.kind === 'view') return null
  try {
    return decodeDefinition(entry.definition)
  } catch (error) {
    if (isTidemarkError(error)) throw error
    throw new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `the catalog's declaration of ${entry.name} cannot be read: ${(error as Error).message}`,
        todo: 'use the version of Tidemark that migrated this database last, or a newer one',
      },
      { cause: error },
    )
  }
}

async function missingSchemas(
  connection: Connection,
  definitions: readonly DeclaredRelation[],
  { hasReader }: TenantRoles,
): Promise<MigrationStep[]> {
  const names = [...new Set(definitions.map((d) => d.schema))]
  const { rows } = await connection.query(sql`
    select s from unnest(${names}::text[]) as s where not exists (select from pg_namespace where nspname = s)`)
  return rows.map(([name]) =>
    step(name as string, 'create-schema', `creates the schema ${name}`, [
      text(sql`create schema if not exists ${identifier(name as string)}`),
      ...(hasReader ? [grantUsage(name as string)] : []),
    ]),
  )
}

async function triggerSteps(connection: Connection, definition: StoredDefinition): Promise<MigrationStep[]> {
  const { name } = definition
  const steps: MigrationStep[] = []
  const unguarded = await findUnguarded(connection, definition, definition.appendOnly)
  if (unguarded.length > 0) {
    const sentence = definition.appendOnly
      ? `makes ${name} append-only (${unguarded.length} of its relations are not guarded)`
      : `lets rows of ${name} be changed again`
    steps.push(step(name, 'append-only', sentence, text(guardSql(definition, unguarded)).split(';\n')))
  }
  if (definition.kind === 'hypertable') {
    const problems = await findTriggerProblems(connection, await findHypertable(connection, definition))
    if (problems.length > 0)
      steps.push(
        step(
          name,
          'change-log',
          `restores triggers of the change log of ${name}`,
          problems.map((p) => `-- trigger ${p.trigger} on ${p.relation} is ${p.problem}`),
        ),
      )
  }
  return steps
}

async function viewSteps(
  connection: Connection,
  view: ViewDefinition,
  actual: ActualRelation | null,
  catalog: ReadonlyMap<string, CatalogEntry>,
  tablesChange: boolean,
  { hasReader }: TenantRoles,
): Promise<MigrationStep[]> {
  const create = createViewStatements(view)
  if (actual === null) {
    const statements = hasReader ? [...create, grantSelect(view)] : create
    return [step(view.name, 'view', `creates the view ${view.name}`, statements)]
  }
  if (actual.relkind !== 'v') {
    const problem = `${view.name} is not a view, and is declared as one`
    return [step(view.name, 'refused', problem, [`-- ${problem}`])]
  }
  const found = (await readView(connection, text(relationName(view))))!
  const wanted = await probeView(connection, view).catch((error: unknown) => {
    if (/^42/.test(sqlstateOf(error) ?? '')) return error as Error
    throw error
  })
  if (wanted instanceof Error) {
    // It may read what this migration is about to make. Then it is looked at again afterwards.
    if (tablesChange) return [step(view.name, 'view', `replaces the view ${view.name}`, create)]
    throw new TidemarkError('TM_DECLARATION', { path: view.name, problem: wanted.message }, { cause: wanted })
  }
  const isKnown = catalog.get(view.name)?.kind === 'view'
  if (wanted.text === found.text && view.comment === actual.comment && isKnown && found.isInvoker) return []
  if (found.columns.some((column, i) => column !== wanted.columns[i]))
    return [
      step(view.name, 'refused', `${view.name} would lose or change columns, and others may read them`, [
        text(sql`drop view ${relationName(view)}`),
        ...create,
      ]),
    ]
  return [step(view.name, 'view', `replaces the view ${view.name}`, create)]
}

/** Security invoker: a view must not show what its reader may not read (law 9). */
function createViewStatements(view: ViewDefinition): string[] {
  const name = relationName(view)
  const json = quoteLiteral(JSON.stringify({ version: 1, kind: 'view', name: view.name, sql: view.sql }))
  return [
    text(sql`create or replace view ${name} with (security_invoker = true) as\n${raw(view.sql)}`),
    text(commentSql(sql`view ${name}`, view.comment)),
    text(sql`insert into tidemark.relation (schema_name, relation_name, kind, definition)
values (${view.schema}, ${view.table}, 'view', ${raw(json)}::jsonb)
on conflict (schema_name, relation_name) do update set kind = excluded.kind, definition = excluded.definition`),
  ]
}
