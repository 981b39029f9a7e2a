import fc from 'fast-check'
import type { Tidemark } from '../../src/engine.ts'
import type { PostgresSnapshot } from '../../src/hot/index.ts'
import {
  type AggregateQueryNode,
  type Answer,
  defaultQueryLimits,
  executeQuery,
  outputColumns,
  parseQuery,
  type QueryNode,
} from '../../src/query/index.ts'
import {
  allTenants,
  type ContinuousAggregateDefinition,
  noTenant,
  type StoredDefinition,
  type TenantScope,
} from '../../src/schema/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { type NaiveAnswer, type NaiveResult, naiveAnswer } from '../helpers/naive.ts'
import { naiveBucketStart, naiveInstant } from '../helpers/naive-time.ts'
import { type NaiveRow, normalRow } from '../helpers/naive-values.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { aggregateNames } from './aggregates.ts'
import { currentVersions } from './frozen.ts'
import { firstDay, jsonPaths, poolOf, tableNames } from './tables.ts'
import type { StoredRow } from './values.ts'
import type { World } from './world.ts'

/** The one place where the oracle's queries are made and their answers compared. */
type QueryInput = Readonly<Record<string, unknown>>

const day = 86_400_000_000n
const arbitraries = new WeakMap<StoredDefinition, fc.Arbitrary<QueryInput>>()
const pools = new Map<string, ReturnType<typeof poolOf>>()

/** Random queries of all kinds over a table; their values are of its domain, whatever rows it has at the moment. */
export function queriesOf(definition: StoredDefinition): fc.Arbitrary<QueryInput> {
  let arbitrary = arbitraries.get(definition)
  if (arbitrary === undefined) {
    let pool = pools.get(definition.name)
    if (pool === undefined) {
      pool = poolOf(definition.name)
      pools.set(definition.name, pool)
    }
    const paths = jsonPaths[definition.name] ?? []
    arbitrary = queryArbitrary({ dataset: definition, rows: pool, paths }).map((input) =>
      bounded(definition, input),
    )
    arbitraries.set(definition, arbitrary)
  }
  return arbitrary
}

/** Rows are centuries apart: what lists every bucket of its range is asked for the busy days only, or it meets a limit. */
function bounded(definition: StoredDefinition, input: QueryInput): QueryInput {
  if (input['bucket'] === undefined || (input['fill'] === undefined && input['zone'] === undefined))
    return input
  const monthly = definition.name === 'oracle.usage' && input['fill'] === undefined
  const least = firstDay - (monthly ? 70n : 1n) * day
  const most = firstDay + (monthly ? 70n : 4n) * day
  const within = (value: unknown, open: bigint): bigint => {
    const at = (value as bigint | undefined) ?? open
    return at < least ? least : at > most ? most : at
  }
  const [from, to] = [within(input['from'], least), within(input['to'], most)]
  const bucket = input['fill'] !== undefined && input['bucket'] === '15 minutes' ? '1 hour' : input['bucket']
  return { ...input, bucket, ...(from < to ? { from, to } : { from: least, to: most }) }
}

/** What of a table an update or a delete is for. */
export function selectionOf(
  definition: StoredDefinition,
  seed: number,
): { where?: unknown; from?: unknown; to?: unknown } {
  const queries = fc.sample(queriesOf(definition), { seed, numRuns: 30 })
  const found = queries.find(({ where }) => where !== undefined)
  return Object.fromEntries(
    Object.entries(found ?? { where: { num: 1 } }).filter(([key]) => ['where', 'from', 'to'].includes(key)),
  )
}

/** The rows that a selection is for, as the oracle sees it. */
export function selectRows(
  world: World,
  definition: StoredDefinition,
  selection: object,
  rows: Iterable<StoredRow>,
): StoredRow[] {
  const node = parseQuery(selection, { dataset: definition, clock: world.clock })
  return [...rows].filter((row) => naiveAnswer(node, [row], rememberedRow).rows.length === 1)
}

const limit = defaultQueryLimits.maxRows

/** Whether it asks for rows, which come page by page. */
export function isRows(input: QueryInput): boolean {
  return input['select'] === undefined && input['latestBy'] === undefined
}

export function show(value: unknown): string {
  return fc.stringify(value)
}

const normalRows = new WeakMap<StoredRow, { readonly columns: object; readonly row: NaiveRow }>()

/** Rows of the shadow are never changed in place, so each is brought into its form once for the columns of a table. */
const rememberedRow: typeof normalRow = (dataset, given) => {
  const { columns } = dataset
  const known = normalRows.get(given)
  if (known?.columns === columns) return known.row
  const row = normalRow(dataset, given)
  normalRows.set(given, { columns, row })
  return row
}

/**
 * Throws when an answer is not the oracle's.
 *
 * @param known What of the oracle's answer has to be there; default: all.
 */
export function compare(
  world: World,
  definition: StoredDefinition | ContinuousAggregateDefinition,
  input: QueryInput,
  rows: Iterable<StoredRow>,
  answer: Pick<Answer, 'rows'>,
  where: string,
  known: (naive: NaiveAnswer, node: QueryNode) => NaiveAnswer = (naive) => naive,
): void {
  world.queries += 1
  const all = isRows(input) ? { limit } : {}
  const node = parseQuery({ ...input, ...all }, { dataset: definition, clock: world.clock })
  const naive = known(naiveAnswer(node, [...rows], rememberedRow), node)
  const differences = compareAnswers(answer, naive, node)
  if (differences.length > 0)
    throw new Error(
      `${where}: the answer over ${definition.name} differs\nquery: ${show(input)}\n${differences.join('\n')}`,
    )
}

/** Every page, each from the engine whose turn it is. */
async function allPages(
  ask: (page: number, input: QueryInput) => Promise<Answer>,
  input: QueryInput,
): Promise<Pick<Answer, 'rows'>> {
  const rows: Answer['rows'][number][] = []
  let cursor: string | null = null
  for (let page = 0; ; page += 1) {
    const answer: Answer = await ask(page, cursor === null ? input : { ...input, cursor })
    rows.push(...answer.rows)
    cursor = answer.cursor
    if (cursor === null) return { rows }
    if (answer.rows.length === 0) throw new Error('a page without rows has a cursor')
    if (page > 20_000) throw new Error(`the pages do not end: ${show(input)}`)
  }
}

export async function answerOf(ask: (page: number, input: QueryInput) => Promise<Answer>, input: QueryInput) {
  return isRows(input) ? allPages(ask, input) : ask(0, input)
}

async function check(
  world: World,
  i: number,
  name: string,
  input: QueryInput,
  scope: TenantScope = allTenants,
): Promise<void> {
  const definition = world.engineDefinition(i, name)
  const engines: readonly Tidemark[] =
    world.engineDefinition(i + 1, name) === definition ? world.real.engines : [world.engine(i)]
  const ask = async (page: number, query: QueryInput): Promise<Answer> => {
    const answer = await engines[(i + page) % engines.length]!.queryUnknown(name, query, { scope })
    world.noteSources(answer)
    return answer
  }
  const where = `step ${world.step}, engine ${i % 2}, for ${show(scope)}`
  const answer = await answerOf(ask, input).catch((error: unknown) => {
    throw new Error(`${where}: the query failed: ${show(input)} over ${name}`, { cause: error })
  })
  compare(world, definition, input, rowsOfScope(world, definition, scope), answer, where)
}

function rowsOfScope(world: World, definition: StoredDefinition, scope: TenantScope): Iterable<StoredRow> {
  const { name, tenant } = definition
  const rows = world.rows(name)
  if (scope.kind === 'all' || tenant === null) return rows
  return [...rows].filter((row) => scope.kind === 'one' && row[tenant] === scope.tenant)
}

const tenantScopes: readonly TenantScope[] = [
  { kind: 'one', tenant: 'acme' },
  { kind: 'one', tenant: 'globex' },
  { kind: 'one', tenant: 'nobody' },
  noTenant,
]

/** The same on behalf of a tenant, where the table has them: of its rows alone. */
async function checkTenant(
  world: World,
  i: number,
  name: string,
  input: QueryInput,
  seed: number,
): Promise<void> {
  const { tenant } = world.engineDefinition(i, name)
  if (tenant === null) return
  const what = 'on behalf of a tenant'
  world.sources.set(what, (world.sources.get(what) ?? 0) + 1)
  await check(world, i, name, input, tenantScopes[seed % tenantScopes.length])
}

/** Over the table of an aggregate in what it may answer (and in a zone that it may not), most of the time over a few days. */
function cellsQuery(definition: ContinuousAggregateDefinition, seed: number): QueryInput {
  const { bucket, by, where, select } = definition
  const isMonthly = bucket.every.text === '1 month'
  const lengths = isMonthly ? ['1 month', '3 months'] : ['1 hour', '6 hours', '1 day', '7 days']
  const from = firstDay - (isMonthly ? 60n * day : BigInt(seed % 3) * (day / 2n))
  return {
    from: seed % 7 === 0 ? from + 1n : from,
    to: firstDay + (isMonthly ? 90n : BigInt(1 + (seed % 5))) * day,
    bucket: lengths[seed % lengths.length],
    zone: seed % 5 === 0 ? 'Europe/Berlin' : (bucket.zone ?? 'UTC'),
    by: by.filter((_, i) => (seed >> i) % 2 === 0),
    ...(where === null ? {} : { where }),
    select: Object.fromEntries(Object.entries(select).filter((_, i) => i === 0 || (seed >> i) % 3 !== 0)),
  }
}

/** The same by the name of the aggregate; also where the rows are gone. */
async function checkAggregate(world: World, engine: number, name: string, seed: number): Promise<void> {
  const definition = world.engine(engine).config.aggregates.find((each) => each.name === name)
  if (definition === undefined) return
  if (seed % 2 === 0) return check(world, engine, definition.base.name, cellsQuery(definition, seed))
  const isMonthly = definition.bucket.every.text === '1 month'
  const input = {
    ...rangeByName(world, definition, seed, isMonthly),
    ...(seed % 3 === 0 ? { bucket: isMonthly ? '3 months' : '1 day' } : {}),
    ...(seed % 5 === 0 ? { by: definition.by.slice(0, 1) } : {}),
    ...(seed % 3 === 0 || seed % 5 === 0
      ? { select: Object.fromEntries(Object.keys(definition.select).map((each) => [each, each])) }
      : {}),
  }
  const { range, bucket } = parseQuery(input, {
    dataset: definition,
    clock: world.clock,
  }) as AggregateQueryNode
  // an engine that has another declaration than the version that answers is told what that one keeps
  const isMine = world.engineVariant(engine) === world.variant || name !== 'oracle.by_hour'
  const version = isMine ? (await currentVersions(world)).get(name) : undefined
  const { rows, takenOver } = world.frozen.rowsOf(world, definition, version, range!)
  if (bucket === null || (takenOver.length > 0 && !isMine)) return
  const where = `step ${world.step}, engine ${engine}, by name`
  const answer = await world
    .engine(engine)
    .queryUnknown(name, input)
    .catch((error: unknown) => {
      throw new Error(`${where}: the query failed: ${show(input)} over ${name}`, { cause: error })
    })
  world.noteSources(answer)
  const touched = new Set(takenOver.map((start) => naiveBucketStart(bucket, start)))
  compare(world, definition, input, rows, answer, where, (naive, node) =>
    touched.size === 0 ? naive : withoutUnknown(world, naive, node, answer, touched),
  )
}

/**
 * The oracle's answer without what a version does not know of buckets that another one kept: rows that are not there and outputs
 * that are null. What it does say of them has to be right.
 */
function withoutUnknown(
  world: World,
  naive: NaiveAnswer,
  node: QueryNode,
  { rows }: Pick<Answer, 'rows'>,
  touched: ReadonlySet<bigint>,
): NaiveAnswer {
  const columns = outputColumns(node)
  const outputs = node.kind === 'aggregate' ? node.select.map(({ name }) => name) : []
  const keys = columns.map(({ name }) => name).filter((name) => !outputs.includes(name))
  const keyOf = (row: Readonly<Record<string, unknown>>) => show(keys.map((name) => row[name]))
  const answered = new Map(rows.map((row) => [keyOf(row), row]))
  const note = (what: string, n: number): void => {
    if (n > 0) world.sources.set(what, (world.sources.get(what) ?? 0) + n)
  }
  const results = naive.results.flatMap((result): NaiveResult[] => {
    if (!touched.has(naiveInstant(result.row['bucket'] as string))) return [result]
    const row = answered.get(keyOf(result.row))
    if (row === undefined) return []
    const unknown = outputs.filter((name) => row[name] === null)
    note('outputs that were taken over', outputs.length - unknown.length)
    note('outputs that nobody knows any more', unknown.length)
    const nothing = Object.fromEntries(unknown.map((name) => [name, null]))
    const each = Object.entries(result.each).filter(([name]) => !unknown.includes(name))
    return [{ ...result, row: { ...result.row, ...nothing }, each: Object.fromEntries(each) }]
  })
  return { ...naive, results, rows: results.map(({ row }) => row) }
}

/** The busy days, or days around a bucket whose rows are gone. */
function rangeByName(
  world: World,
  definition: ContinuousAggregateDefinition,
  seed: number,
  isMonthly: boolean,
): { readonly from: bigint; readonly to: bigint } {
  const around = (isMonthly ? 70n : 2n) * day
  const gone = seed % 4 === 1 ? world.frozen.pick(definition.name, seed) : null
  if (gone !== null) {
    world.sources.set(
      'buckets whose rows are gone',
      (world.sources.get('buckets whose rows are gone') ?? 0) + 1,
    )
    return { from: gone - around, to: gone + around }
  }
  return { from: firstDay - (isMonthly ? 70n : 4n) * day, to: firstDay + (isMonthly ? 90n : 4n) * day }
}

/** Questions about a table that cells may answer, and that engines keep results of. */
export async function askCells(world: World, engine: number, name: string, seed: number): Promise<void> {
  for (const aggregate of world.engine(engine).config.aggregates)
    if (aggregate.base.name === name) {
      const input = cellsQuery(aggregate, seed % repeats)
      await check(world, engine, name, input)
      await checkTenant(world, engine, name, input, seed)
    }
}

/** Every aggregate, once it has been refreshed, in several ways. */
export async function verifyAggregates(world: World): Promise<void> {
  for (const name of aggregateNames)
    for (const seed of [0, 1, 2, 3, 5]) await checkAggregate(world, seed % 2, name, seed)
}

/** So few different questions that the same one comes again, to engines that have kept results of it. */
const repeats = 42

/** Pages of a query at most, now and then as many as its limit makes. */
const mostPages = 4

/**
 * Random queries after a step, most of them over the table that it was about; now and then every row of a table, page by page.
 * `seed` is part of the step, so a replay asks the same.
 */
export async function verify(
  world: World,
  seed: number,
  options: { readonly about?: string | null; readonly count?: number } = {},
): Promise<void> {
  const plan = fc.sample(
    fc.record({
      any: fc.constantFrom(...tableNames),
      isAbout: fc.nat(2).map((n) => n > 0),
      engine: fc.nat(1),
      page: fc.constantFrom(7, 50, 1000),
      kind: fc.constantFrom('any', 'any', 'any', 'any', 'all rows', 'all rows', 'buckets', 'cells', 'cells'),
      allPages: fc.nat(9).map((n) => n === 0),
      seed: fc.nat(2 ** 30),
    }),
    { seed, numRuns: options.count ?? 3 },
  )
  for (const { any, isAbout, engine, page, kind, allPages, seed: own } of plan) {
    const name = isAbout ? (options.about ?? any) : any
    if (kind === 'cells') {
      await checkAggregate(world, engine, aggregateNames[own % aggregateNames.length]!, own % repeats)
      continue
    }
    const definition = world.engineDefinition(engine, name)
    const input =
      kind === 'all rows'
        ? { limit: page, direction: own % 2 === 0 ? 'asc' : 'desc' }
        : kind === 'buckets' && definition.kind === 'hypertable'
          ? bucketQuery(own % repeats)
          : fc.sample(queriesOf(definition), { seed: own, numRuns: 1 })[0]!
    const least = allPages ? 1 : limitFor(world, name, mostPages)
    await check(world, engine, name, withPagesOf(input, least))
    await checkTenant(world, engine, name, withPagesOf(input, least), own)
  }
}

/** Whole buckets of whole chunks: what summaries can answer. */
function bucketQuery(seed: number): QueryInput {
  const bucket = ['15 minutes', '1 hour', '6 hours', '1 day'][seed % 4]!
  const select = Object.fromEntries(['sum', 'min', 'max', 'avg'].map((fn) => [fn, { fn, column: 'num' }]))
  return { bucket, ...(seed % 3 === 0 ? {} : { by: ['tag'] }), select: { n: { fn: 'count' }, ...select } }
}

/** The limit with which all rows of a table come in so many pages. */
export function limitFor(world: World, name: string, pages: number): number {
  return Math.ceil(world.rows(name).size / pages)
}

function withPagesOf(input: QueryInput, least: number): QueryInput {
  const { limit } = input
  return isRows(input) && typeof limit === 'number' && limit < least ? { ...input, limit: least } : input
}

/** Every row of every table. */
export async function verifyAll(world: World): Promise<void> {
  for (const name of tableNames) await check(world, 0, name, { limit: 1000 })
}

/** Some random queries inside of a snapshot that was lent some steps ago, against the shadow of then. */
export async function verifySnapshot(
  world: World,
  snapshot: PostgresSnapshot,
  name: string,
  rows: readonly StoredRow[],
  seed: number,
): Promise<void> {
  const definition = world.definition(name)
  const ask = async (_: number, query: QueryInput): Promise<Answer> => {
    const answer = await executeQuery(parseQuery(query, { dataset: definition, clock: world.clock }), {
      tiers: world.real.tiers,
      snapshot,
      clock: world.clock,
      signal: null,
      limits: defaultQueryLimits,
      results: world.real.results,
    })
    world.noteSources(answer)
    return answer
  }
  const where = `step ${world.step}, in a snapshot of before`
  const cells = world.aggregates
    .filter(({ base }) => base.name === name)
    .map((aggregate, i) => cellsQuery(aggregate, (seed + i) % repeats))
  for (const input of [{ limit: 40 }, ...cells, ...fc.sample(queriesOf(definition), { seed, numRuns: 2 })]) {
    compare(world, definition, input, rows, await answerOf(ask, input), where)
  }
}
