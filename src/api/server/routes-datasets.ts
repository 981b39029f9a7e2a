import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { cellColumns } from '../../query/index.ts'
import type { ContinuousAggregateDefinition, QueryableDefinition } from '../../schema/index.ts'
import { Dataset, Problem } from '../contract/index.ts'

export function installDatasetRoutes(app: FastifyInstance): void {
  app.get(
    '/api/v1/datasets',
    {
      schema: {
        summary: 'Everything that can be queried',
        tags: ['datasets'],
        response: { 200: Type.Array(Dataset) },
      },
      config: { access: 'query' },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async ({ tm }) => [...tm.datasets, ...tm.aggregates].map(describeDataset),
  )
  app.get<{ Params: { dataset: string } }>(
    '/api/v1/datasets/:dataset',
    {
      schema: {
        summary: 'One dataset with its columns',
        tags: ['datasets'],
        params: Type.Object({ dataset: Type.String() }),
        response: { 200: Dataset, 404: Problem },
      },
      config: { access: 'query' },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async ({ tm, params }) => describeDataset(tm.queryable(params.dataset)),
  )
}

function describeDataset(definition: QueryableDefinition): Record<string, unknown> {
  if (definition.kind === 'aggregate') return describeAggregate(definition)
  return {
    name: definition.name,
    kind: definition.kind,
    time: definition.kind === 'hypertable' ? definition.time : null,
    primaryKey: definition.primaryKey,
    appendOnly: definition.appendOnly,
    comment: definition.comment,
    aggregate: null,
    columns: Object.entries(definition.columns).map(([name, column]) => ({
      name,
      type: column.type,
      nullable: column.nullable,
      hasDefault: column.default !== null,
      comment: column.comment,
    })),
  }
}

/** Its columns are those of a query that asks for everything, then its dimensions. */
function describeAggregate(definition: ContinuousAggregateDefinition): Record<string, unknown> {
  return {
    name: definition.name,
    kind: definition.kind,
    time: 'bucket',
    primaryKey: null,
    appendOnly: true,
    comment: definition.comment,
    aggregate: {
      from: definition.from.name,
      bucket: definition.bucket.every.text,
      zone: definition.bucket.zone,
      keys: [...(definition.base.tenant === null ? [] : [definition.base.tenant]), ...definition.by],
      dimensions: Object.keys(definition.dimensions),
      select: definition.select,
    },
    columns: cellColumns(definition).map((column) => ({ ...column, hasDefault: false, comment: null })),
  }
}
