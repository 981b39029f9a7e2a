import { parseInterval, resolveZone, TimeProblem } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ReportInput, Schedule, ScheduleInput } from './contract.ts'
import { assertSchedule } from './schedule.ts'

const namePattern = /^[a-z0-9][a-z0-9_-]{0,62}$/
const maxTitle = 200
const keepByDefault = 30
const mostKept = 1000
const mostDelayMicros = 31n * 86_400_000_000n
/** A query is a page of text at most; what names thousands of values belongs into a table. */
const maxQueryBytes = 100_000

/** @throws TidemarkError TM_QUERY */
export function readReportName(name: string): string {
  if (namePattern.test(name)) return name
  return wrong('name', `${show(name)} must be 1 to 63 of a-z, 0-9, - and _, and not begin with - or _`)
}

/**
 * What somebody wrote, checked; whether the query can be asked is the engine's to say.
 *
 * @throws TidemarkError TM_QUERY with the path of what is wrong.
 */
export function readReport(input: unknown): ReportInput {
  const { title, dataset, query, schedule, keep } = fields(
    '',
    input,
    ['dataset', 'query'],
    ['title', 'schedule', 'keep'],
  )
  if (typeof dataset !== 'string' || dataset === '') wrong('dataset', 'must be the name of a dataset')
  if (title !== undefined && (typeof title !== 'string' || title.trim() === '' || title.length > maxTitle))
    wrong('title', `must be a text of 1 to ${maxTitle} characters`)
  if (keep !== undefined && (!Number.isInteger(keep) || (keep as number) < 1 || (keep as number) > mostKept))
    wrong('keep', `must be a whole number from 1 to ${mostKept}`)
  if (typeof query !== 'object' || query === null || Array.isArray(query))
    wrong('query', 'must be an object, as for POST /api/v1/query')
  if (JSON.stringify(query).length > maxQueryBytes)
    wrong('query', `is longer than ${maxQueryBytes} characters as JSON`)
  if ('dataset' in (query as object)) wrong('query.dataset', 'belongs beside the query')
  if ((query as { cursor?: unknown }).cursor !== undefined)
    wrong('query.cursor', 'goes on after a page; a report begins anew each time')
  return {
    title: (title as string | undefined)?.trim() ?? (dataset as string),
    dataset: dataset as string,
    query: query as Readonly<Record<string, unknown>>,
    schedule: schedule === undefined || schedule === null ? null : readSchedule(schedule),
    keep: (keep as number | undefined) ?? keepByDefault,
  }
}

function readSchedule(input: unknown): ScheduleInput {
  const { every, zone, delay } = fields('schedule', input, ['every'], ['zone', 'delay'])
  for (const [path, value] of Object.entries({ every, zone, delay }))
    if (value !== undefined && value !== null && typeof value !== 'string')
      wrong(`schedule.${path}`, 'must be a text')
  const schedule = {
    every: every as string,
    zone: (zone as string | null | undefined) ?? 'UTC',
    delay: (delay as string | null | undefined) ?? null,
  }
  assertSchedule(toSchedule(schedule))
  return schedule
}

/** @throws TidemarkError TM_QUERY */
export function toSchedule({ every, zone, delay }: ScheduleInput): Schedule {
  return {
    period: {
      every: timely('schedule.every', () => parseInterval(every)),
      zone: timely('schedule.zone', () => resolveZone(zone).name),
    },
    delayMicros: delay === null ? 0n : readDelay(delay),
  }
}

function readDelay(text: string): bigint {
  const delay = timely('schedule.delay', () => parseInterval(text))
  if (delay.kind === 'fixed' && delay.micros <= mostDelayMicros) return delay.micros
  return wrong('schedule.delay', `"${text}" must be of a fixed length up to 31 days, such as "2 hours"`)
}

function timely<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof TimeProblem) return wrong(path, error.problem)
    throw error
  }
}

function fields(
  path: string,
  input: unknown,
  needed: readonly string[],
  others: readonly string[],
): Readonly<Record<string, unknown>> {
  const known = [...needed, ...others]
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return wrong(path || 'report', `must be an object with ${known.join(', ')}`)
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`)
  for (const key of Object.keys(input))
    if (!known.includes(key)) wrong(at(key), `is not known; known: ${known.join(', ')}`)
  for (const key of needed)
    if ((input as Record<string, unknown>)[key] === undefined) wrong(at(key), 'is missing')
  return input as Readonly<Record<string, unknown>>
}

function show(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
}

export function wrong(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
