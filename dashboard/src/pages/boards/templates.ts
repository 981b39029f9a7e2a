import type { DatasetInfo, Panel } from 'tidemark/client'
import { type Draft, emptyDocument } from './document.ts'
import { firstGap } from './layout.ts'

/** First boards, made from what a dataset has: its time, its numbers, and texts to group by. Pure. */

const numeric = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'numeric'])
/** Names of numbers that add up to nothing, of texts that hardly ever repeat, and of the one that is the same for most readers. */
const isKey = (name: string): boolean => /(^|_)id$|Id$|^uuid$|_key$|^tenant/i.test(name)
const isDuration = (name: string): boolean => /(_ms|Ms)$/.test(name)
const isSize = (name: string): boolean => /(_bytes|Bytes)$/.test(name)

export interface Shape {
  readonly numbers: readonly string[]
  readonly groups: readonly string[]
}

export function shapeOf({ columns, time, primaryKey }: DatasetInfo): Shape {
  const isPart = (name: string): boolean => name === time || (primaryKey ?? []).includes(name) || isKey(name)
  return {
    numbers: columns.filter(({ name, type }) => numeric.has(type) && !isPart(name)).map(({ name }) => name),
    // a text that is never null is more often a kind of something than a remark
    groups: columns
      .filter(({ name, type }) => type === 'text' && !isPart(name))
      .toSorted((a, b) => Number(a.nullable) - Number(b.nullable))
      .map(({ name }) => name),
  }
}

type Wanted = Omit<Panel, 'id' | 'place'> & { readonly size: { readonly w: number; readonly h: number } }

/** What is worth a look at any dataset with a time; of others how many rows there are, and some. */
export function templatePanels(dataset: DatasetInfo): Panel[] {
  const placed: Panel[] = []
  for (const { size, ...panel } of wantedOf(dataset))
    placed.push({ ...panel, id: `p${placed.length + 1}`, place: firstGap(placed, size) })
  return placed
}

export function templateOf(dataset: DatasetInfo): Draft {
  return {
    name: `Overview of ${dataset.name}`,
    description: null,
    document: { ...emptyDocument, panels: templatePanels(dataset) },
  }
}

/** Those of which a board can be made at once: with rows of their own. The ones with a time first. */
export function templated(datasets: readonly DatasetInfo[]): DatasetInfo[] {
  return datasets
    .filter(({ kind }) => kind !== 'aggregate')
    .toSorted((a, b) => Number(a.time === null) - Number(b.time === null) || (a.name < b.name ? -1 : 1))
}

function wantedOf(info: DatasetInfo): Wanted[] {
  const { name: dataset, time } = info
  const { numbers, groups } = shapeOf(info)
  const count = { rows: { fn: 'count' } }
  const [number] = numbers
  const [group] = groups
  const unit = number === undefined ? {} : unitOf(number)
  const wanted: Wanted[] = [
    {
      title: 'Rows',
      chart: 'number',
      query: { dataset, select: count },
      ...(time === null ? {} : { compare: 'previous' }),
      size: { w: 3, h: 2 },
    },
  ]
  if (time === null) return [...wanted, newest(dataset, 9)]
  wanted.push({
    title: group === undefined ? 'Rows over time' : `Rows by ${group}`,
    chart: group === undefined ? 'bar' : 'stacked',
    query: {
      dataset,
      bucket: 'auto',
      ...(group === undefined ? {} : { by: [group] }),
      select: count,
    },
    size: { w: 9, h: 4 },
  })
  if (number !== undefined) {
    wanted.push(
      {
        title: `p95 of ${number}`,
        chart: 'number',
        query: { dataset, select: { p95: { fn: 'percentile', column: number, q: 0.95 } } },
        compare: 'previous',
        ...unit,
        size: { w: 3, h: 2 },
      },
      {
        title: `${number}: p50 and p95`,
        chart: 'line',
        query: {
          dataset,
          bucket: 'auto',
          select: {
            p50: { fn: 'percentile', column: number, q: 0.5 },
            p95: { fn: 'percentile', column: number, q: 0.95 },
          },
        },
        ...unit,
        size: { w: group === undefined ? 12 : 6, h: 4 },
      },
    )
  }
  if (group !== undefined) {
    wanted.push({
      title: `Most rows: ${group}`,
      chart: 'table',
      query: {
        dataset,
        by: [group],
        select:
          number === undefined
            ? count
            : { ...count, [`avg ${number}`.replaceAll(/\W/g, '_')]: { fn: 'avg', column: number } },
        order: ['-rows'],
        limit: 20,
      },
      size: { w: number === undefined ? 12 : 6, h: 4 },
    })
  }
  return [...wanted, newest(dataset, 12)]
}

function newest(dataset: string, w: number): Wanted {
  return {
    title: 'Newest rows',
    chart: 'table',
    query: { dataset, columns: '*', direction: 'desc', limit: 50 },
    size: { w, h: 4 },
  }
}

function unitOf(column: string): { readonly unit?: string } {
  if (isDuration(column)) return { unit: 'ms' }
  return isSize(column) ? { unit: 'bytes' } : {}
}
