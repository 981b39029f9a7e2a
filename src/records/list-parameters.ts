import type { StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ListInput } from './contract.ts'
import { maxPageRows } from './list-input.ts'

/** Names of parameters that are no columns; a column of such a name is asked for in `where`. */
export const reservedParameters = [
  'where',
  'from',
  'to',
  'zone',
  'sort',
  'fields',
  'limit',
  'cursor',
  'count',
  'versions',
] as const

const operators = [
  'eq',
  'ne',
  'gt',
  'gte',
  'lt',
  'lte',
  'in',
  'notIn',
  'like',
  'ilike',
  'contains',
  'null',
] as const

/**
 * A list from the query string of a URL:
 *
 * - `status=ok`, `latency[gte]=10`, `id[in]=1,2`, `note[null]=true`: conditions, all of which must hold; each operator of the
 *   query language. Values are read as their column's type. Lists are repeated parameters, or have commas where no value can.
 * - `where={…}`: conditions as JSON, for everything else (`$or`, JSON values of other types than text).
 * - `sort=-volume,name`, `fields=id,name`, `limit=50`, `cursor=…`, `count=true`, `versions=true`, `from`, `to`, `zone`.
 *
 * @throws TidemarkError TM_QUERY that names the parameter.
 */
export function readListParameters(
  definition: StoredDefinition,
  parameters: Iterable<readonly [string, string]>,
): ListInput {
  const given = new Map<string, string[]>()
  for (const [name, value] of parameters) {
    const values = given.get(name)
    if (values) values.push(value)
    else given.set(name, [value])
  }
  const conditions: unknown[] = []
  const input: { -readonly [K in keyof ListInput]: ListInput[K] } = {}
  for (const [name, values] of given) {
    switch (name) {
      case 'where':
        conditions.push(...values.map(readWhere))
        break
      case 'sort':
      case 'fields':
        input[name] = values.flatMap((text) => namesIn(definition, text))
        break
      case 'limit':
        input.limit = readWhole(name, once(name, values))
        break
      case 'cursor':
      case 'from':
      case 'to':
      case 'zone':
        input[name] = once(name, values)
        break
      case 'count':
      case 'versions':
        input[name] = readYesNo(name, once(name, values))
        break
      default:
        conditions.push(readCondition(definition, name, values))
    }
  }
  if (conditions.length > 0) input.where = conditions.length === 1 ? conditions[0] : { $and: conditions }
  return input
}

function readCondition(definition: StoredDefinition, name: string, values: readonly string[]): object {
  const match = /^(.*)\[([A-Za-z]*)\]$/s.exec(name)
  const [column, operator] =
    match === null || Object.hasOwn(definition.columns, name) ? [name, 'eq'] : [match[1]!, match[2]!]
  const type = typeOf(definition, column)
  if (type === null) {
    const columns = Object.keys(definition.columns).join(', ')
    refuse(
      name,
      `is neither a column of ${definition.name} (${columns}) nor a parameter (${reservedParameters.join(', ')})`,
    )
  }
  switch (operator) {
    case 'null':
      return { [column]: readYesNo(name, once(name, values)) ? null : { not: null } }
    case 'in':
    case 'notIn': {
      const items = type === 'text' ? values : values.flatMap((text) => text.split(','))
      return { [column]: { [operator]: items.map((text) => typed(type!, text)) } }
    }
    case '':
      return refuse(name, `says no operator; there are: ${operators.join(', ')}`)
    default:
      if (!(operators as readonly string[]).includes(operator))
        return refuse(name, `there is no operator "${operator}"; there are: ${operators.join(', ')}`)
      return { [column]: { [operator]: typed(type!, once(name, values)) } }
  }
}

/** `text` for a path inside of jsonb: what stands in a URL is compared as text. */
function typeOf({ columns }: StoredDefinition, name: string): string | null {
  if (Object.hasOwn(columns, name)) return columns[name]!.type
  const [column = ''] = name.split('.')
  return Object.hasOwn(columns, column) && columns[column]!.type === 'jsonb' ? 'text' : null
}

/** The query language reads numbers and times from text, but not truth. */
function typed(type: string, text: string): unknown {
  return type === 'bool' && (text === 'true' || text === 'false') ? text === 'true' : text
}

/** Names with commas between them; a name that has one stands alone. */
function namesIn({ columns }: StoredDefinition, text: string): readonly string[] {
  const name = text.startsWith('-') ? text.slice(1) : text
  return Object.hasOwn(columns, name) ? [text] : text.split(',')
}

function readWhere(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    return refuse('where', `is not JSON: ${(error as Error).message}`)
  }
}

function readYesNo(name: string, text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  return refuse(name, `"${text}" is not true or false`)
}

function readWhole(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  return refuse(name, `"${text}" is not a whole number from 1 to ${maxPageRows}`)
}

function once(name: string, values: readonly string[]): string {
  if (values.length === 1) return values[0]!
  return refuse(name, 'is there more than once')
}

function refuse(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
