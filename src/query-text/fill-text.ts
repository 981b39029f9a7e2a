import { type AggregateQueryNode, everything, type OutputColumn } from '../query/index.ts'
import { bucketBorders, bucketStart, fixedBucket, formatInstant, type Instant } from '../time/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { noSql, print } from './print.ts'

/** Of a calendar or a zone, which are listed. */
const mostListed = 1000

/** The statement with the buckets that are missing, as src/query/fill.ts has it: for each group that has any row. */
export function filledText(node: AggregateQueryNode, body: string, columns: readonly OutputColumn[]): string {
  const { fill, by } = node
  const values = columns.slice(1 + by.length)
  const name = (column: string): string => print(identifier(column))
  const groups = by.map((group) => name(group.name))
  const isPresent = 'a."bucket" is not null'
  const joined = [
    `a."bucket" = b.bucket`,
    ...groups.map((group) => `a.${group} is not distinct from g.${group}`),
  ]
  const keys = groups.map((group) => `g.${group}`)
  const partition = keys.length === 0 ? '' : `partition by ${keys.join(', ')} `
  const linked = fill.kind === 'previous' || fill.kind === 'linear'
  const cells = [
    'select b.bucket',
    ...keys.map((key) => `  , ${key}`),
    ...values.map((column) => `  , a.${name(column.name)}`),
    `  , ${isPresent} as "is there"`,
    ...(linked ? [`  , count(a."bucket") over (${partition}order by b.bucket) as "before"`] : []),
    ...(fill.kind === 'linear'
      ? [`  , count(a."bucket") over (${partition}order by b.bucket desc) as "after"`]
      : []),
    `from (${bucketsText(node)}) as b (bucket)`,
    ...(groups.length === 0 ? [] : [`cross join (select distinct ${groups.join(', ')} from answer) as g`]),
    `left join answer as a on ${joined.join(' and ')}`,
  ]
  const within = partition === '' ? 'partition by ' : `partition by ${groups.join(', ')}, `
  const before = (column: string): string =>
    `first_value(${column}) over (${within}"before" order by "bucket")`
  const after = (column: string): string =>
    `first_value(${column}) over (${within}"after" order by "bucket" desc)`
  const filled = values.map((column): string => {
    const own = name(column.name)
    if (fill.kind === 'null' || fill.kind === 'none') return own
    if (fill.kind === 'constant')
      return `case when "is there" then ${own} else ${print(sql`${String(fill.value)}`)} end as ${own}`
    if (fill.kind === 'previous') return `case when "before" > 0 then ${before(own)} end as ${own}`
    return `case when "is there" then ${own} when "before" > 0 and "after" > 0 then ${betweenText(
      column,
      [before(own), after(own)],
      [before('"bucket"'), after('"bucket"')],
    )} end as ${own}`
  })
  return [
    'with answer as (',
    body,
    '),',
    'cells as (',
    ...cells,
    ')',
    'select',
    `  ${['"bucket"', ...groups, ...filled].join(',\n  ')}`,
    'from cells',
  ].join('\n')
}

/** Whole numbers are rounded to the nearest, halves away from zero; numeric has at least six decimals. */
function betweenText(
  { type }: OutputColumn,
  [from, to]: readonly [string, string],
  [start, end]: readonly [string, string],
): string {
  const micros = (a: string, b: string): string => `(extract(epoch from ${a} - ${b}) * 1000000)`
  const [part, whole] = [micros('"bucket"', start), micros(end, start)]
  if (type === 'float8' || type === 'float4')
    return `(${from} + (${to} - ${from}) * (${part} / ${whole})::float8)::${type}`
  if (type === 'numeric')
    return `${from} + round((${to} - ${from}) * ${part} / ${whole}, greatest(scale(${from}), scale(${to}), 6))`
  return `round(${from} + (${to} - ${from}) * ${part} / ${whole})::int8`
}

function bucketsText(node: AggregateQueryNode): string {
  const bucket = node.bucket!
  const { from, to } = node.range ?? everything
  const isOpen = from === everything.from || to === everything.to
  const fixed = fixedBucket(bucket)
  const at = (instant: Instant): string => print(sql`${formatInstant(instant)}::timestamptz`)
  if (fixed !== null) {
    const first =
      from === everything.from ? '(select min("bucket") from answer)' : at(bucketStart(bucket, from))
    const last =
      to === everything.to ? '(select max("bucket") from answer)' : at(bucketStart(bucket, to - 1n))
    return `select generate_series(${first}, ${last}, ${print(sql`${`${fixed.width} microseconds`}::interval`)})`
  }
  if (isOpen)
    throw noSql('fill with buckets of a calendar over an open range', 'say from and to, or leave fill out')
  const borders = bucketBorders(bucket, { from, to }, { max: 1_000_000 }).slice(0, -1)
  if (borders.length > mostListed)
    throw noSql(
      `fill with ${borders.length} buckets of a calendar or a zone`,
      `ask for ${mostListed} at most, or leave fill out`,
    )
  return `select unnest(${print(sql`${borders.map((border) => formatInstant(border))}::timestamptz[]`)})`
}
