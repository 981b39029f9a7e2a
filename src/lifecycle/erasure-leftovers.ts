import type { Queryable } from '../postgres/index.ts'
import type { FilterNode } from '../query/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { quoteLiteral, sql } from '../util/sql.ts'

/** Copies of rows that an erasure does not look into, and how to clear them. */
export interface ErasureLeftovers {
  /** Rows of files that did not fit, kept as they came. */
  readonly deadLetters: {
    readonly total: number
    /** Of those, how many hold one of the values of the condition somewhere in their text. */
    readonly naming: number
    /** SQL that clears them; null where there are none. */
    readonly clear: string | null
  }
  /** Imports into the lake that are not done: their files are in the store, and count when they are. */
  readonly stagedImports: number
}

export async function findLeftovers(
  db: Queryable,
  definition: StoredDefinition,
  where: FilterNode | null,
): Promise<ErasureLeftovers> {
  const values = [...new Set(constantsOf(where))]
  const { rows } = await db.query(sql`
    select
      count(*),
      count(*) filter (
        where exists (
          select
          from unnest(${values}::text[]) as v (value)
          where strpos(lower(concat_ws(' ', d.raw, d.value, d.message)), lower(v.value)) > 0
        )
      ),
      (
        select count(distinct f.import_id)
        from tidemark.import_file as f
        join tidemark.import as i on i.id = f.import_id
        where i.dataset = ${definition.name}::text
      )
    from tidemark.dead_letter as d
    where d.dataset = ${definition.name}::text`)
  const [total, naming, stagedImports] = (rows[0] as [bigint, bigint, bigint]).map(Number)
  const clear = `delete from tidemark.dead_letter where dataset = ${quoteLiteral(definition.name).trim()}`
  return {
    deadLetters: { total: total!, naming: naming!, clear: total! > 0 ? clear : null },
    stagedImports: stagedImports!,
  }
}

/** Texts and numbers that rows are looked for by; what a pattern has between its wildcards. */
function constantsOf(filter: FilterNode | null): string[] {
  if (filter === null) return []
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.filters.flatMap(constantsOf)
    case 'not':
      return constantsOf(filter.filter)
    case 'compare':
      return filter.operator === 'eq' ? constant(filter.value) : []
    case 'in':
      return filter.values.flatMap(constant)
    case 'like':
      return filter.pattern.split(/[%_\\]/).filter((part) => part.length > 2)
    case 'contains':
      return constant(filter.value)
    case 'isNull':
      return []
  }
}

/** `true` and `0` are in every line. */
function constant(value: unknown): string[] {
  return typeof value === 'boolean' || String(value).length < 2 ? [] : [String(value)]
}
