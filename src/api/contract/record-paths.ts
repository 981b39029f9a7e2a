import type { ColumnType, StoredDefinition } from '../../schema/index.ts'
import { componentName, type JsonSchema, rowSchemas, valueSchema } from './record-schemas.ts'

const problem = { $ref: '#/components/responses/Problem' }
const problems = { '4XX': problem, '5XX': problem }
const problemOf = (description: string): JsonSchema => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
})
const etag = {
  ETag: { description: 'The version of the row, for If-Match.', schema: { type: 'string' } },
}
const location = { Location: { description: 'The path of the row.', schema: { type: 'string' } } }
const ifMatch = {
  name: 'If-Match',
  in: 'header',
  description:
    'The ETag that the row was read with: 412 when it is another by now. `*`: the row has to be there.',
  schema: { type: 'string' },
}

/** Operators that a type has beside equality. */
function operatorsOf(type: ColumnType): readonly string[] {
  if (type === 'jsonb') return []
  if (type === 'text[]') return ['contains']
  const ordered = ['ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn']
  return type === 'text' ? [...ordered, 'like', 'ilike'] : ordered
}

/** Paths and schemas of the rows of one table, with its columns. */
export function recordPaths(definition: StoredDefinition): {
  readonly paths: Readonly<Record<string, JsonSchema>>
  readonly schemas: Readonly<Record<string, JsonSchema>>
} {
  const { name, appendOnly } = definition
  const base = `/api/v1/datasets/${encodeURIComponent(name)}`
  return {
    paths: {
      [`${base}/records`]: { get: listOperation(definition), post: createOperation(definition) },
      [`${base}/records/{key}`]: {
        parameters: [keyParameter(definition)],
        get: getOperation(definition),
        ...(appendOnly ? {} : changeOperations(definition)),
      },
      [`${base}/bulk`]: { post: bulkOperation(definition) },
    },
    schemas: rowSchemas(definition),
  }
}

function about({ name }: StoredDefinition, what: string, summary: string, access: string): JsonSchema {
  return { operationId: `${name}.${what}`, summary, tags: [name], 'x-access': access }
}

function ref({ name }: StoredDefinition, form: '' | '.new' | '.put' | '.patch'): JsonSchema {
  return { $ref: `#/components/schemas/${componentName(name)}${form}` }
}

function content(schema: JsonSchema): JsonSchema {
  return { 'application/json': { schema } }
}

function keyParameter({ primaryKey, tenant }: StoredDefinition): JsonSchema {
  const parts = primaryKey!.length
  const text = { type: 'string' }
  return {
    name: 'key',
    in: 'path',
    required: true,
    style: 'simple',
    description:
      `The key: ${primaryKey!.join(', ')}${parts > 1 ? ', in this order with commas between them' : ''}, each percent-encoded. ` +
      'A value that a path cannot carry (empty, dots alone, with a slash) is `~` and its base64url.' +
      (tenant === null ? '' : ` A caller with one tenant may leave ${tenant} out.`),
    schema:
      parts === 1
        ? text
        : { type: 'array', items: text, minItems: tenant === null ? parts : parts - 1, maxItems: parts },
  }
}

function listOperation(definition: StoredDefinition): JsonSchema {
  const { columns, kind } = definition
  const query = (name: string, schema: JsonSchema, description?: string): JsonSchema => ({
    name,
    in: 'query',
    schema,
    ...(description === undefined ? {} : { description }),
  })
  const list = { type: 'array', items: { type: 'string' } }
  const filters = Object.entries(columns).flatMap(([column, { type, nullable }]) => [
    ...(type === 'jsonb' || type === 'text[]' ? [] : [query(column, valueSchema(type))]),
    ...operatorsOf(type).map((operator) =>
      operator === 'in' || operator === 'notIn'
        ? query(`${column}[${operator}]`, { type: 'array', items: valueSchema(type) })
        : query(
            `${column}[${operator}]`,
            operator === 'contains' || operator === 'like' || operator === 'ilike'
              ? { type: 'string' }
              : valueSchema(type),
          ),
    ),
    ...(nullable ? [query(`${column}[null]`, { type: 'boolean' })] : []),
  ])
  return {
    ...about(definition, 'list', `Rows of ${definition.name}, page by page`, 'query'),
    description:
      'Conditions on columns, all of which must hold; `where` takes those of the query language as JSON. Rows come in the order of ' +
      '`sort`, then of the key.',
    parameters: [
      query('sort', list, 'Columns, `-` for descending; nulls are last.'),
      query('fields', list, 'Columns of the answer; without it all.'),
      query('limit', { type: 'integer', minimum: 1, maximum: 1000, default: 100 }),
      query('cursor', { type: 'string' }, 'Of the page before.'),
      query('count', { type: 'boolean' }, 'Also how many rows match on all pages.'),
      query('versions', { type: 'boolean' }, 'Also the version of each row.'),
      query('where', { type: 'string' }, 'Conditions as JSON: docs/reference/query.md.'),
      ...(kind === 'hypertable'
        ? [
            query('from', { type: 'string' }, 'The first instant: ISO 8601, `-30 days`.'),
            query('to', { type: 'string' }, 'The end, which is not in it.'),
            query('zone', { type: 'string' }, 'Of dates and local times in `from` and `to`.'),
          ]
        : []),
      ...filters,
    ].map((parameter) =>
      (parameter as { schema: { type?: string } }).schema.type === 'array'
        ? { ...parameter, style: 'form', explode: false }
        : parameter,
    ),
    responses: {
      200: {
        description: 'A page.',
        content: content({
          type: 'object',
          properties: {
            rows: {
              type: 'array',
              description: 'With `fields` only those columns.',
              items: { ...ref(definition, '.patch') },
            },
            cursor: { type: ['string', 'null'], description: 'Goes on behind the last row; null: no more.' },
            versions: { type: 'array', items: { type: 'string' } },
            count: { type: 'integer' },
          },
          required: ['rows', 'cursor'],
          additionalProperties: false,
        }),
      },
      ...problems,
    },
  }
}

function createOperation(definition: StoredDefinition): JsonSchema {
  const merges = definition.kind === 'hypertable' && definition.late === 'merge'
  return {
    ...about(definition, 'create', `A new row of ${definition.name}`, 'ingest'),
    requestBody: { required: true, content: content(ref(definition, '.new')) },
    responses: {
      201: {
        description: 'It is committed; this is the row with its defaults.',
        headers: { ...etag, ...location },
        content: content(ref(definition, '')),
      },
      ...(merges
        ? {
            202: {
              description:
                'Older than the retention: continuous aggregates have counted it, and it is not kept.',
              content: content({
                type: 'object',
                properties: { merged: { const: true } },
                required: ['merged'],
              }),
            },
          }
        : {}),
      409: problemOf('The key, or another unique value, exists; a constraint; older than the retention.'),
      422: problemOf('The row does not fit.'),
      ...problems,
    },
  }
}

function getOperation(definition: StoredDefinition): JsonSchema {
  return {
    ...about(definition, 'get', `One row of ${definition.name}`, 'query'),
    parameters: [
      {
        name: 'If-None-Match',
        in: 'header',
        description: 'ETags that are known: 304 when the row still has one of them.',
        schema: { type: 'string' },
      },
    ],
    responses: {
      200: { description: 'The row.', headers: etag, content: content(ref(definition, '')) },
      304: { description: 'It is the version that is known.', headers: etag },
      404: problemOf('There is none of that key.'),
      ...problems,
    },
  }
}

function changeOperations(definition: StoredDefinition): JsonSchema {
  const { name } = definition
  const changed = {
    description: 'It is committed; this is the row.',
    headers: etag,
    content: content(ref(definition, '')),
  }
  const refusals = {
    409: problemOf('A constraint, or another unique value; older than the retention.'),
    412: problemOf('The row is another version, or not there, or there where it was to be new.'),
    428: problemOf('The version has to be said.'),
  }
  return {
    put: {
      ...about(definition, 'put', `The whole row of ${name}: new, or in place of what is there`, 'ingest'),
      parameters: [
        ifMatch,
        {
          name: 'If-None-Match',
          in: 'header',
          description: '`*`: the row has to be new.',
          schema: { const: '*' },
        },
      ],
      requestBody: { required: true, content: content(ref(definition, '.put')) },
      responses: {
        200: changed,
        201: { ...changed, headers: { ...etag, ...location } },
        ...refusals,
        422: problemOf('The row does not fit.'),
        ...problems,
      },
    },
    patch: {
      ...about(definition, 'patch', `New values of some columns of a row of ${name}`, 'ingest'),
      parameters: [ifMatch],
      requestBody: { required: true, content: content(ref(definition, '.patch')) },
      responses: {
        200: changed,
        404: problemOf('There is none of that key.'),
        ...refusals,
        422: problemOf('A value does not fit.'),
        ...problems,
      },
    },
    delete: {
      ...about(definition, 'delete', `No row of ${name} with this key any more`, 'ingest'),
      parameters: [ifMatch],
      responses: {
        204: { description: 'It is gone.' },
        404: problemOf('There is none of that key.'),
        ...refusals,
        ...problems,
      },
    },
  }
}

function bulkOperation(definition: StoredDefinition): JsonSchema {
  const { primaryKey, columns, name, appendOnly } = definition
  const key = {
    anyOf: [
      { type: 'string', description: 'As in a path.' },
      {
        type: 'object',
        properties: Object.fromEntries(primaryKey!.map((part) => [part, valueSchema(columns[part]!.type)])),
        additionalProperties: false,
      },
    ],
  }
  const of = (op: string, items: JsonSchema, required: readonly string[] = ['op', 'rows']): JsonSchema => ({
    type: 'object',
    properties: {
      op: { const: op },
      rows: { type: 'array', items, maxItems: 10_000 },
      atomic: { type: 'boolean', default: false },
      return: { enum: ['none', 'rows'], default: 'none' },
    },
    required,
    additionalProperties: false,
  })
  const keyed = (more: JsonSchema, required: readonly string[]): JsonSchema => ({
    type: 'object',
    properties: { key, version: { type: 'string' }, ...more },
    required,
    additionalProperties: false,
  })
  const bodies = [
    of('create', ref(definition, '.new')),
    ...(appendOnly
      ? []
      : [
          of('upsert', ref(definition, '.new')),
          of('patch', keyed({ set: ref(definition, '.patch') }, ['key', 'set'])),
          of('delete', keyed({}, ['key'])),
        ]),
  ]
  const answer = {
    type: 'object',
    properties: {
      created: { type: 'integer' },
      updated: { type: 'integer' },
      deleted: { type: 'integer' },
      failed: {
        type: 'array',
        items: {
          type: 'object',
          properties: {
            index: { type: 'integer', description: 'Place in `rows`, from 0.' },
            status: { type: 'integer' },
            code: { type: 'string' },
            detail: { type: 'string' },
            params: {},
          },
          required: ['index', 'status', 'code', 'detail', 'params'],
        },
      },
      rows: { type: 'array', items: { anyOf: [ref(definition, ''), { type: 'null' }] } },
      versions: { type: 'array', items: { type: ['string', 'null'] } },
    },
    required: ['created', 'updated', 'deleted', 'failed'],
    additionalProperties: false,
  }
  return {
    ...about(definition, 'bulk', `Many rows of ${name} at once`, 'ingest'),
    description: 'Those that can be done are; with `atomic` all or none.',
    requestBody: { required: true, content: content({ oneOf: bodies }) },
    responses: {
      200: { description: 'All are committed.', content: content(answer) },
      207: { description: 'Some failed: `failed` says which, and why.', content: content(answer) },
      ...problems,
    },
  }
}
