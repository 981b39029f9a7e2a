import type { DatasetInfo } from 'tidemark/client'

const numbers = /^(int2|int4|int8|float4|float8|numeric)$/

/** A declaration to copy, of columns that are there; of an example where no hypertable is. */
export function declarationFor(datasets: readonly DatasetInfo[]): string {
  const source = datasets.find(({ kind }) => kind === 'hypertable')
  const name = source?.name ?? 'metrics.requests'
  const columns = source?.columns ?? [
    { name: 'model', type: 'text' },
    { name: 'latency_ms', type: 'float8' },
  ]
  const keys = new Set(source?.primaryKey ?? [])
  const group = columns.find(({ name: column, type }) => type === 'text' && !keys.has(column))?.name
  const value = columns.find(({ name: column, type }) => numbers.test(type) && !keys.has(column))?.name
  const table = name.slice(name.indexOf('.') + 1)
  const select = [
    'rows: count()',
    ...(value === undefined
      ? []
      : [`${propertyOf(value)}: avg('${value}')`, `p95: percentile('${value}', 0.95)`]),
  ]
  const imports = [
    'continuousAggregate',
    'count',
    ...(value === undefined ? [] : ['avg', 'percentile']),
  ].sort()
  return [
    `import { ${imports.join(', ')} } from 'tidemark'`,
    '',
    `export const hourly = continuousAggregate('aggregates.hourly_${table}', {`,
    `  from: ${variableOf(table)},`,
    `  bucket: '1 hour',`,
    ...(group === undefined ? [] : [`  by: ['${group}'],`]),
    '  select: {',
    ...select.map((output) => `    ${output},`),
    '  },',
    `  refresh: { every: '1 minute' },`,
    '})',
    '// then add it to `datasets` of defineConfig, and run: tidemark migrate',
  ].join('\n')
}

function variableOf(table: string): string {
  return table.replace(/_+([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase()).replace(/\W/g, '')
}

function propertyOf(column: string): string {
  return /^[a-z_$][\w$]*$/i.test(column) ? column : `'${column}'`
}
