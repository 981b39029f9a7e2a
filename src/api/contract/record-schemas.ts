import type { ColumnDefinition, ColumnType, StoredDefinition } from '../../schema/index.ts'

/** JSON Schema 2020-12, as OpenAPI 3.1 has it. */
export type JsonSchema = Readonly<Record<string, unknown>>

const specialNumbers = { enum: ['NaN', 'Infinity', '-Infinity'] }
const wholeText = { type: 'string', pattern: '^[+-]?\\d{1,40}$' }
const timestamp = {
  type: 'string',
  description:
    'ISO 8601 with a zone, up to 6 fractional digits; answers are in UTC. Or `infinity`, `-infinity`.',
  examples: ['2026-01-01T00:00:00.123456Z'],
}
const date = {
  type: 'string',
  description: '`YYYY-MM-DD`, `infinity` or `-infinity`.',
  examples: ['2026-01-31'],
}
const anyJson = { description: 'Any JSON but null itself.' }
const texts = { type: 'array', items: { type: ['string', 'null'] } }
const float = { anyOf: [{ type: 'number' }, specialNumbers] }
const small = (bits: number): JsonSchema => ({
  type: 'integer',
  minimum: -(2 ** (bits - 1)),
  maximum: 2 ** (bits - 1) - 1,
})

/** What comes out. */
const outputs: Readonly<Record<ColumnType, JsonSchema>> = {
  timestamptz: timestamp,
  date,
  text: { type: 'string' },
  uuid: { type: 'string', format: 'uuid' },
  bool: { type: 'boolean' },
  int2: small(16),
  int4: small(32),
  int8: {
    anyOf: [{ type: 'integer' }, wholeText],
    description: 'A number up to 2^53 - 1, text beyond.',
    examples: [42],
  },
  float4: float,
  float8: float,
  numeric: {
    type: 'string',
    description: 'Decimal digits, or NaN, Infinity, -Infinity.',
    examples: ['12.50'],
  },
  jsonb: anyJson,
  'text[]': texts,
}

/** What goes in, where it is more. */
const inputs: Readonly<Record<ColumnType, JsonSchema>> = {
  ...outputs,
  numeric: {
    anyOf: [{ type: 'number' }, { type: 'string' }],
    description: 'A number, or its decimal digits.',
    examples: ['12.50'],
  },
}

/** Schemas of values by the name of the column type, for `components`. */
export function columnSchemas(): Record<string, JsonSchema> {
  const named: Record<string, JsonSchema> = {}
  for (const [type, schema] of Object.entries(outputs)) named[componentOf(type)] = schema
  named[`${componentOf('numeric')}.in`] = inputs.numeric
  return named
}

function componentOf(type: string): string {
  return `Column.${type === 'text[]' ? 'textArray' : type}`
}

function refOf(type: ColumnType, way: 'in' | 'out'): JsonSchema {
  const suffix = way === 'in' && inputs[type] !== outputs[type] ? '.in' : ''
  return { $ref: `#/components/schemas/${componentOf(type)}${suffix}` }
}

/** The value of a column that is not null, as it goes into a filter. */
export function valueSchema(type: ColumnType): JsonSchema {
  return refOf(type, 'in')
}

function columnSchema({ type, nullable, comment }: ColumnDefinition, way: 'in' | 'out'): JsonSchema {
  const value = refOf(type, way)
  const about = comment === null ? {} : { description: comment }
  return nullable ? { anyOf: [value, { type: 'null' }], ...about } : { ...value, ...about }
}

/** Names of components hold few characters. */
export function componentName(name: string): string {
  return name.replace(/[^A-Za-z0-9.-]/g, (char) => `_${char.codePointAt(0)!.toString(16)}`)
}

/** The rows of a table: as they come out, as they go in, and as they are changed. */
export function rowSchemas(definition: StoredDefinition): Record<string, JsonSchema> {
  const name = componentName(definition.name)
  const columns = Object.entries(definition.columns)
  const properties = (way: 'in' | 'out'): JsonSchema =>
    Object.fromEntries(columns.map(([column, of]) => [column, columnSchema(of, way)]))
  const about = definition.comment === null ? {} : { description: definition.comment }
  const isNeeded = ([column, { nullable, default: given }]: readonly [string, ColumnDefinition]): boolean =>
    // the tenant's column is filled in for a caller who has one
    !nullable && given === null && column !== definition.tenant
  return {
    [name]: {
      type: 'object',
      title: definition.name,
      ...about,
      properties: properties('out'),
      required: columns.map(([column]) => column),
      additionalProperties: false,
    },
    [`${name}.new`]: {
      type: 'object',
      title: `${definition.name}, new`,
      description: 'What is left out gets its default, or null.',
      properties: properties('in'),
      required: columns.filter(isNeeded).map(([column]) => column),
      additionalProperties: false,
    },
    [`${name}.put`]: {
      type: 'object',
      title: `${definition.name}, whole`,
      description: 'As a new row; the columns of the key are those of the path.',
      properties: properties('in'),
      required: columns
        .filter((entry) => isNeeded(entry) && !definition.primaryKey!.includes(entry[0]))
        .map(([column]) => column),
      additionalProperties: false,
    },
    [`${name}.patch`]: {
      type: 'object',
      title: `${definition.name}, changes`,
      description: 'Columns that are not named stay; null is null; jsonb is replaced as a whole.',
      properties: properties('in'),
      additionalProperties: false,
    },
  }
}
