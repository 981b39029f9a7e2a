import { type Instant, parseInterval, parsePoint } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import {
  type BoardDocument,
  type BoardInput,
  type Panel,
  type PanelPlace,
  type PanelQuery,
  panelCharts,
} from './contract.ts'
import { fieldsOf, within, wrong } from './problem.ts'

export const mostPanels = 60
const mostDocumentBytes = 256 * 1024
const mostName = 200
const mostText = 2000
const mostUnit = 40
const columns = 12
const mostRows = 10_000
const mostHeight = 100
const panelId = /^[A-Za-z0-9_-]{1,64}$/
/** Complete by its type: a new part of a query does not compile until it is listed. */
const queryKeys: Readonly<Record<keyof PanelQuery, true>> = {
  dataset: true,
  bucket: true,
  by: true,
  where: true,
  select: true,
  having: true,
  order: true,
  limit: true,
  fill: true,
  zone: true,
  columns: true,
  direction: true,
  latestBy: true,
}

/**
 * What somebody wrote, checked as far as it can be without knowing what is declared: that is `checkPanels`.
 *
 * @throws TidemarkError TM_QUERY with the path of what is wrong; TM_LIMIT.
 */
export function readBoard(input: unknown, now: Instant): BoardInput {
  const { name, description, document } = fieldsOf('board', input, ['name', 'document'], ['description'])
  const text = textOf('name', name, mostName)
  if (text.trim() === '') wrong('name', 'must not be empty')
  return {
    name: text.trim(),
    description: description == null ? null : textOf('description', description, mostText),
    document: readDocument(document, now),
  }
}

function readDocument(input: unknown, now: Instant): BoardDocument {
  const path = 'document'
  const { range, refresh, panels } = fieldsOf(path, input, ['range', 'panels'], ['refresh'])
  const bytes = Buffer.byteLength(JSON.stringify(input))
  if (bytes > mostDocumentBytes)
    throw tooMany('the size of the board', `${bytes} bytes`, `${mostDocumentBytes} bytes`, 'make two of it')
  if (!Array.isArray(panels)) return wrong(`${path}.panels`, 'must be a list')
  if (panels.length > mostPanels)
    throw tooMany('the number of panels', String(panels.length), String(mostPanels), 'make two boards of it')
  const read = panels.map((panel, i) => readPanel(`${path}.panels[${i}]`, panel))
  const seen = new Map<string, number>()
  read.forEach(({ id }, i) => {
    const other = seen.get(id)
    if (other !== undefined) wrong(`${path}.panels[${i}].id`, `"${id}" is the id of panels[${other}], too`)
    seen.set(id, i)
  })
  return {
    range: readRange(`${path}.range`, range, now),
    ...(refresh === undefined ? {} : { refresh: readRefresh(`${path}.refresh`, refresh) }),
    panels: read,
  }
}

function readRange(path: string, input: unknown, now: Instant): BoardDocument['range'] {
  const { from, to } = fieldsOf(path, input, ['from'], ['to'])
  const point = (key: string, value: unknown): Instant => {
    if (typeof value !== 'string')
      return wrong(`${path}.${key}`, 'must be a text such as "-7 days" or a time')
    return within(`${path}.${key}`, () => parsePoint(value, now, null))
  }
  const start = point('from', from)
  const end = to === undefined ? now : point('to', to)
  if (end <= start) wrong(path, `ends before it begins: from ${String(from)} to ${String(to ?? 'now')}`)
  return { from: from as string, ...(to === undefined ? {} : { to: to as string }) }
}

function readRefresh(path: string, value: unknown): string {
  if (value === 'live' || value === 'off') return value
  if (typeof value !== 'string')
    return wrong(path, 'must be "live", "off", or a time between two looks such as "30s"')
  const every = within(path, () => parseInterval(value))
  if (every.kind === 'fixed' && every.micros >= 1_000_000n) return value
  return wrong(path, `"${value}" must be a second at least, of a fixed length`)
}

function readPanel(path: string, input: unknown): Panel {
  const { id, title, chart, place, query, compare, unit, note } = fieldsOf(
    path,
    input,
    ['id', 'title', 'chart', 'place', 'query'],
    ['compare', 'unit', 'note'],
  )
  if (typeof id !== 'string' || !panelId.test(id))
    wrong(`${path}.id`, 'must be 1 to 64 letters, digits, - and _')
  if (!panelCharts.includes(chart as never))
    wrong(`${path}.chart`, `${JSON.stringify(chart)} is not one of ${panelCharts.join(', ')}`)
  return {
    id: id as string,
    title: textOf(`${path}.title`, title, mostName),
    chart: chart as Panel['chart'],
    place: readPlace(`${path}.place`, place),
    query: readQuery(`${path}.query`, query),
    ...(compare === undefined ? {} : { compare: readCompare(`${path}.compare`, compare) }),
    ...(unit === undefined ? {} : { unit: textOf(`${path}.unit`, unit, mostUnit) }),
    ...(note === undefined ? {} : { note: textOf(`${path}.note`, note, mostText) }),
  }
}

function readPlace(path: string, input: unknown): PanelPlace {
  const { x, y, w, h } = fieldsOf(path, input, ['x', 'y', 'w', 'h'], [])
  const whole = (key: string, value: unknown, least: number, most: number): number => {
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)
      return value as number
    return wrong(`${path}.${key}`, `must be a whole number from ${least} to ${most}`)
  }
  const read = {
    x: whole('x', x, 0, columns - 1),
    y: whole('y', y, 0, mostRows),
    w: whole('w', w, 1, columns),
    h: whole('h', h, 1, mostHeight),
  }
  if (read.x + read.w > columns) wrong(path, `ends in column ${read.x + read.w}; there are ${columns}`)
  return read
}

function readQuery(path: string, input: unknown): PanelQuery {
  const query = fieldsOf(path, input, ['dataset'], Object.keys(queryKeys))
  if (typeof query['dataset'] !== 'string' || query['dataset'] === '')
    wrong(`${path}.dataset`, 'must be the name of a dataset')
  return query as unknown as PanelQuery
}

function readCompare(path: string, value: unknown): string {
  if (value === 'previous') return value
  if (typeof value !== 'string') return wrong(path, 'must be "previous", or how much earlier: "1 week"')
  within(path, () => parseInterval(value))
  return value
}

function textOf(path: string, value: unknown, most: number): string {
  if (typeof value === 'string' && value.length <= most && !value.includes('\0')) return value
  return wrong(path, `must be a text of at most ${most} characters`)
}

export function tooMany(what: string, value: string, limit: string, todo: string): TidemarkError {
  return new TidemarkError('TM_LIMIT', { what, value, limit, todo })
}
