import { fitName, grantUsage, type MigrationStep, readerRole, step, text } from '../migrate/index.ts'
import type { Connection } from '../postgres/index.ts'
import { materializationOf } from '../query/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { definitionHash, encodeAggregate } from './encode.ts'
import {
  cellPolicy,
  changeDefinitionStatements,
  createVersionStatements,
  forceStatement,
  restoreRightsStatements,
  retireStatements,
} from './migrate-statements.ts'
import { type AggregateView, viewOf } from './view.ts'

/** A step with what it takes to apply and record it. */
export interface AggregateStep {
  readonly step: MigrationStep
  readonly definition: ContinuousAggregateDefinition
  /** As JSON; null: there is none. */
  readonly before: unknown
  readonly after: unknown
  /** Table of the version that it makes. */
  readonly creates: string | null
  /** Its statements are the last ones of the step. */
  readonly view: AggregateView | null
}

export interface AggregatePlan {
  readonly steps: readonly AggregateStep[]
  readonly undeclared: readonly string[]
}

interface KnownVersion {
  readonly relation: string
  readonly hash: string
  readonly state: 'building' | 'current' | 'retired'
  readonly definition: unknown
  /** Its row security holds for its owner, too. */
  readonly isForced: boolean
  /** Its row security is on, with its policy and no other one. */
  readonly isProtected: boolean
}

interface KnownAggregate {
  /** `schema.table` of the hypertable. */
  readonly base: string
  readonly viewHash: string | null
  /** Its view is there, and reads with the rights of whoever asks. */
  readonly hasView: boolean
  readonly versions: readonly KnownVersion[]
}

/** What it takes to bring the database to the declarations. Changes nothing. */
export async function planAggregates(
  connection: Connection,
  aggregates: readonly ContinuousAggregateDefinition[],
): Promise<AggregatePlan> {
  const known = await readKnown(connection)
  const present = await readPresent(connection, aggregates)
  const taken = new Set(
    [...known.values()].flatMap(({ versions }) => versions.map(({ relation }) => relation)),
  )
  const declared = new Set(aggregates.map(({ name }) => name))
  return {
    steps: [
      ...missingSchemas(aggregates, present),
      ...closedSchemas(aggregates, present),
      ...aggregates.flatMap((definition) =>
        planOne(definition, known.get(definition.name) ?? null, present, taken),
      ),
    ],
    undeclared: [...known.keys()].filter((name) => !declared.has(name)),
  }
}

function planOne(
  definition: ContinuousAggregateDefinition,
  known: KnownAggregate | null,
  present: Present,
  taken: Set<string>,
): AggregateStep[] {
  const { name, base } = definition
  const refused = (problem: string, statements: string[]): AggregateStep[] => [
    plain(definition, step(name, 'refused', problem, statements)),
  ]
  if (known !== null && known.base !== base.name)
    return refused(
      `${name} stands on ${known.base}, and cells of ${base.name} would be something else: give it another name`,
      [`-- ${name} cannot be moved to ${base.name}`],
    )
  const relkind = present.relations.get(name)
  if (relkind !== undefined && (relkind !== 'v' || known === null))
    return refused(`${name} is in the database already, and is not the view of this continuous aggregate`, [
      `drop ${relkind === 'v' ? 'view' : 'table'} ${text(identifier(definition.schema, definition.table))}`,
    ])

  const hash = definitionHash(definition)
  const encoded = encodeAggregate(definition)
  const json = JSON.stringify(encoded)
  const alive = (known?.versions ?? []).filter(({ state }) => state !== 'retired')
  const current = alive.find(({ state }) => state === 'current') ?? null
  const same = alive.find((version) => version.hash === hash) ?? null
  const steps: AggregateStep[] = []

  for (const version of alive) {
    if (version.state !== 'building' || version.hash === hash) continue
    const sentence = `gives up the version of ${name} that was being built`
    const one = step(name, 'aggregate', sentence, retireStatements(version.relation))
    steps.push({ ...plain(definition, one), before: version.definition })
  }

  const isForced = present.forced.has(base.name)
  const open = alive.filter((version) => !version.isProtected)
  for (const { relation, hash: ofVersion } of open) {
    // what another declaration's cells hold is not known here; they are given up or replaced
    if (ofVersion !== hash) continue
    const materialization = materializationOf(definition)
    const statements = restoreRightsStatements({ materialization, relation, isForced })
    steps.push(
      plain(definition, step(name, 'tenant', `restores who may read the cells of ${name}`, statements)),
    )
  }
  const unlike = alive.filter((version) => version.isForced !== isForced && !open.includes(version))
  if (unlike.length > 0) {
    const sentence = `follows the row security of ${base.name} in ${name}`
    const statements = unlike.map(({ relation }) => forceStatement(relation, isForced))
    steps.push(plain(definition, step(name, 'aggregate', sentence, statements)))
  }

  if (same === null) {
    const materialization = materializationOf(definition)
    const relation = nextRelation(definition, known?.versions ?? [], taken)
    taken.add(relation)
    const state = current === null ? 'current' : 'building'
    const statements = createVersionStatements({ materialization, relation, hash, json, state, isForced })
    const view = current === null ? viewOf(materialization, relation) : null
    const sentence =
      current === null
        ? `creates the continuous aggregate ${name} over ${base.name}`
        : `begins to build the changed definition of ${name} beside the current one`
    steps.push({
      step: step(name, 'aggregate', sentence, [...statements, ...(view?.statements ?? [])]),
      definition,
      before: current?.definition ?? null,
      after: encoded,
      creates: relation,
      view,
    })
    return steps
  }

  const changed = changedKeys(same.definition, encoded)
  const view = same.state === 'current' ? viewOf(materializationOf(definition), same.relation) : null
  const isViewOld = view !== null && (known?.viewHash !== view.hash || known?.hasView !== true)
  if (changed.length === 0 && !isViewOld) return steps
  const statements = changed.length > 0 ? changeDefinitionStatements(same.relation, json) : []
  const sentence =
    changed.length > 0 ? `changes ${changed.join(', ')} of ${name}` : `replaces the view ${name}`
  steps.push({
    step: step(name, changed.length > 0 ? 'aggregate' : 'view', sentence, [
      ...statements,
      ...(isViewOld ? view.statements : []),
    ]),
    definition,
    before: same.definition,
    after: encoded,
    creates: null,
    view: isViewOld ? view : null,
  })
  return steps
}

function plain(definition: ContinuousAggregateDefinition, one: MigrationStep): AggregateStep {
  return { step: one, definition, before: null, after: null, creates: null, view: null }
}

/** Numbered, since `a_b.c` and `a.b_c` are one name here, and never used twice as long as the catalog knows the aggregate. */
function nextRelation(
  { schema, table }: ContinuousAggregateDefinition,
  versions: readonly KnownVersion[],
  taken: ReadonlySet<string>,
): string {
  const base = schema === 'public' ? table : `${schema}_${table}`
  const numbers = versions.map(({ relation }) => Number(/_(\d+)$/.exec(relation)?.[1] ?? 0))
  let number = Math.max(0, ...numbers) + 1
  while (taken.has(fitName(base, `_${number}`))) number += 1
  return fitName(base, `_${number}`)
}

/** Keys of the two whose values differ. jsonb forgets the order of keys. */
function changedKeys(before: unknown, after: unknown): string[] {
  const old = (before ?? {}) as Record<string, unknown>
  const now = after as Record<string, unknown>
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((key) => canonical(old[key]) !== canonical(now[key]))
    .sort()
}

function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

function missingSchemas(
  aggregates: readonly ContinuousAggregateDefinition[],
  present: Present,
): AggregateStep[] {
  const seen = new Set(present.schemas)
  return aggregates.flatMap((definition) => {
    const { schema } = definition
    if (seen.has(schema)) return []
    seen.add(schema)
    const statements = [text(sql`create schema if not exists ${identifier(schema)}`)]
    if (present.hasReader) statements.push(grantUsage(schema))
    return [plain(definition, step(schema, 'create-schema', `creates the schema ${schema}`, statements))]
  })
}

/** The views are everybody's; their schemas have to be, too, for whoever reads what is declared. */
function closedSchemas(
  aggregates: readonly ContinuousAggregateDefinition[],
  { closed }: Present,
): AggregateStep[] {
  return closed.flatMap((schema) => {
    const definition = aggregates.find((one) => one.schema === schema)
    const sentence = `lets ${readerRole} into the schema ${schema}`
    return definition ? [plain(definition, step(schema, 'grant', sentence, [grantUsage(schema)]))] : []
  })
}

interface Present {
  readonly schemas: readonly string[]
  /** relkind of what has the name of an aggregate. */
  readonly relations: ReadonlyMap<string, string>
  /** Hypertables whose row security holds for their owner. */
  readonly forced: ReadonlySet<string>
  /** Whether tidemark_reader is there. */
  readonly hasReader: boolean
  /** Schemas that are there and that it may not use, though this role may let it. */
  readonly closed: readonly string[]
}

async function readPresent(
  connection: Connection,
  aggregates: readonly ContinuousAggregateDefinition[],
): Promise<Present> {
  const schemas = [...new Set(aggregates.map(({ schema }) => schema))]
  const all = aggregates.flatMap((definition) => [definition, definition.base])
  const { rows } = await connection.query(sql`
    select n.nspname, c.relname, c.relkind::text, c.relforcerowsecurity
    from pg_namespace as n
    left join pg_class as c
      on c.relnamespace = n.oid and (n.nspname, c.relname) in (
        select * from unnest(${all.map(({ schema }) => schema)}::text[], ${all.map(({ table }) => table)}::text[])
      )
    where n.nspname = any(${[...schemas, ...all.map(({ schema }) => schema)]}::text[])`)
  const relations = new Map<string, string>()
  const forced = new Set<string>()
  for (const [schema, name, relkind, isForced] of rows) {
    if (name === null) continue
    relations.set(`${schema}.${name}`, relkind as string)
    if (isForced === true) forced.add(`${schema}.${name}`)
  }
  const { rows: found } = await connection.query(sql`
    select
      r.oid is not null,
      array(
        select n.nspname::text
        from pg_namespace as n
        where n.nspname = any(${schemas}::text[]) and not has_schema_privilege(r.oid, n.oid, 'usage')
          and pg_has_role(n.nspowner, 'usage')
      )
    from (select 1) as one
    left join pg_roles as r on r.rolname = ${readerRole}::name`)
  const [hasReader, closed] = found[0] as [boolean, string[]]
  return { schemas: rows.map(([schema]) => schema as string), relations, forced, hasReader, closed }
}

/** Empty where the catalog has not been made yet. */
async function readKnown(connection: Connection): Promise<ReadonlyMap<string, KnownAggregate>> {
  const { rows: found } = await connection.query(sql`
    select exists (
      select from pg_class as c
      join pg_namespace as n on n.oid = c.relnamespace
      where n.nspname = 'tidemark' and c.relname = 'aggregate_version'
    )`)
  if (found[0]![0] !== true) return new Map()
  const { rows } = await connection.query(sql`
    select
      a.schema_name || '.' || a.table_name, h.schema_name || '.' || h.table_name, a.view_hash,
      exists (
        select from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = a.schema_name and c.relname = a.table_name and c.relkind = 'v'
          and exists (
            select from pg_options_to_table(c.reloptions) as o
            where o.option_name = 'security_invoker' and o.option_value::bool
          )
      ),
      v.relation_name, v.definition_hash, v.state, v.definition,
      coalesce(c.relforcerowsecurity, false),
      coalesce(
        c.relrowsecurity
          and (
            select count(*) = 1 and bool_and(
              p.polname = ${cellPolicy}::name and p.polpermissive and p.polcmd = 'r' and p.polroles = '{0}'
              and strpos(pg_get_expr(p.polqual, p.polrelid), 'readable_cells(') > 0
            )
            from pg_policy as p
            where p.polrelid = c.oid
          ),
        false
      )
    from tidemark.aggregate as a
    join tidemark.hypertable as h on h.id = a.hypertable_id
    left join tidemark.aggregate_version as v on v.aggregate_id = a.id
    left join pg_class as c
      on c.relnamespace = 'tidemark_aggregates'::regnamespace and c.relname = v.relation_name
    order by 1, v.id`)
  const known = new Map<string, KnownAggregate & { versions: KnownVersion[] }>()
  for (const row of rows) {
    const [name, base, viewHash, hasView, relation, hash, state, definition, isForced, isProtected] = row as [
      string,
      string,
      string | null,
      boolean,
      string | null,
      string,
      KnownVersion['state'],
      unknown,
      boolean,
      boolean,
    ]
    const entry = known.get(name) ?? { base, viewHash, hasView, versions: [] }
    known.set(name, entry)
    if (relation !== null) entry.versions.push({ relation, hash, state, definition, isForced, isProtected })
  }
  return known
}
