import type { Operation, OperationKind, OperationRequest } from '../client/index.ts'
import type { RefreshProgress, RefreshReport } from '../continuous/index.ts'
import {
  type ChunkChoice,
  type ChunkLife,
  chooseChunks,
  type MovedChunks,
  type SweepReport,
  type VerifyReport,
} from '../lifecycle/index.ts'
import type { HypertableDefinition, QueryableDefinition, StoredDefinition } from '../schema/index.ts'
import { type Clock, parsePoint, TimeProblem } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import type { OperationRun, PlannedOperation } from './operation.ts'

/** How far a move is, as the engine tells it. */
interface MoveProgress {
  readonly chunksDone: number
  readonly chunksTotal: number
  readonly rows: number
  readonly rowsDone: number
  readonly stage: string
  readonly secondsLeft: number | null
}

interface MoveCall {
  readonly signal: AbortSignal
  readonly onProgress: (progress: MoveProgress) => void
}

type Moved = MovedChunks & { readonly reclaimedBytes?: number }

/** Calls of the engine that operations are made of. */
export interface OperationCalls {
  readonly hypertables: readonly HypertableDefinition[]
  /** @throws TidemarkError TM_UNKNOWN_DATASET */
  queryable(name: string): QueryableDefinition
  /** @throws TidemarkError TM_UNKNOWN_DATASET, TM_QUERY */
  dataset(name: string): StoredDefinition
  freeze(dataset: string, choice: ChunkChoice, call: MoveCall): Promise<Moved>
  thaw(dataset: string, choice: ChunkChoice, call: MoveCall): Promise<Moved>
  compact(dataset: string, choice: ChunkChoice, call: MoveCall): Promise<Moved>
  verify(
    datasets: readonly string[] | null,
    call: {
      readonly signal: AbortSignal
      readonly chunks?: readonly bigint[]
      readonly onProgress: (progress: { readonly rows: number; readonly bytes: number }) => void
    },
  ): Promise<VerifyReport>
  refresh(
    aggregate: string,
    call: {
      readonly from?: string
      readonly to?: string
      readonly signal: AbortSignal
      readonly onProgress: (progress: RefreshProgress) => void
    },
  ): Promise<Pick<RefreshReport, 'rows' | 'cells' | 'isBusy' | 'buildError'>>
  sweep(call: { readonly signal: AbortSignal }): Promise<SweepReport>
}

export interface OperationActs {
  readonly engine: OperationCalls
  chunks(definition: HypertableDefinition): Promise<readonly ChunkLife[]>
}

type Report = NonNullable<Operation['report']>

const kinds: readonly OperationKind[] = ['freeze', 'thaw', 'compact', 'verify', 'refresh', 'sweep']
const parts = ['kind', 'dataset', 'chunks', 'from', 'to', 'all']
const maxChunks = 1000
/** Of each list in a report, which stays in memory; how many there are is said beside it. */
const maxListed = 100

/** What was asked for, checked. @throws TidemarkError TM_QUERY with the path. */
export function readOperationRequest(input: unknown): OperationRequest {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return refuse('body', 'must be an object with kind and dataset')
  const given = input as Readonly<Record<string, unknown>>
  const unknown = Object.keys(given).find((key) => !parts.includes(key))
  if (unknown !== undefined) refuse(unknown, `is not known here; known: ${parts.join(', ')}`)
  const { kind, dataset, chunks, from, to, all } = given
  if (!kinds.includes(kind as OperationKind)) refuse('kind', `must be one of ${kinds.join(', ')}`)
  for (const [path, value] of Object.entries({ dataset, from, to }))
    if (value !== undefined && (typeof value !== 'string' || value === '')) refuse(path, 'must be text')
  if (all !== undefined && typeof all !== 'boolean') refuse('all', 'must be true or false')
  if (chunks !== undefined) {
    const areIds =
      Array.isArray(chunks) &&
      chunks.length > 0 &&
      chunks.length <= maxChunks &&
      chunks.every((id) => typeof id === 'string' && /^\d{1,18}$/.test(id))
    if (!areIds)
      refuse('chunks', `must be a list of 1 to ${maxChunks} ids of chunks, as /api/v1/storage gives them`)
    if (from !== undefined || to !== undefined || all !== undefined)
      refuse('chunks', 'does not go together with from, to or all')
  }
  return given as unknown as OperationRequest
}

/**
 * What is about to be done, with everything checked that can be before it begins.
 *
 * @throws TidemarkError TM_UNKNOWN_DATASET; TM_QUERY when nothing is chosen, or chunks that are not there.
 */
export async function planOperation(
  acts: OperationActs,
  request: OperationRequest,
  clock: Clock,
): Promise<PlannedOperation> {
  const { kind } = request
  if (kind === 'sweep') {
    for (const path of ['dataset', 'chunks', 'from', 'to', 'all'] as const)
      if (request[path] !== undefined) refuse(path, 'does not belong here: sweep is of the whole lake')
    return { kind, dataset: null, request, run: ({ signal }) => sweep(acts, signal) }
  }
  if (kind === 'refresh') {
    if (request.chunks !== undefined || request.all !== undefined)
      refuse(request.chunks === undefined ? 'all' : 'chunks', 'does not belong here: say from and to')
    const dataset = aggregateOf(acts, needed(request.dataset))
    assertPoints(request, clock)
    return { kind, dataset, request, run: (run) => refresh(acts, dataset, request, run) }
  }
  if (kind === 'verify') {
    const dataset = request.dataset === undefined ? null : hypertableOf(acts, request.dataset)
    if (request.from !== undefined || request.to !== undefined)
      refuse('from', 'does not belong here: name chunks, or a dataset')
    if (dataset === null && request.chunks !== undefined)
      refuse('dataset', 'is missing: of which the chunks are')
    if (dataset !== null) await assertChunks(acts, dataset, request)
    return {
      kind,
      dataset: dataset?.name ?? null,
      request,
      run: (run) => verify(acts, dataset, request, run),
    }
  }
  const definition = hypertableOf(acts, needed(request.dataset))
  await assertChunks(acts, definition, request)
  const { from, to, all } = request
  const choice: ChunkChoice = {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(all === undefined ? {} : { all }),
  }
  const isChosen = request.chunks !== undefined || chooseChunks(choice, clock) !== null
  if (!isChosen && (kind === 'thaw' || (kind === 'freeze' && definition.freeze === null)))
    refuse(
      'chunks',
      kind === 'thaw'
        ? 'is missing: say which chunks, from and to, or all'
        : `is missing, and ${definition.name} does not declare freeze.after: say which chunks, from and to, or all`,
    )
  return {
    kind,
    dataset: definition.name,
    request,
    run: (run) => move(acts, kind, definition.name, request, choice, run),
  }
}

async function move(
  acts: OperationActs,
  kind: 'freeze' | 'thaw' | 'compact',
  dataset: string,
  { chunks }: OperationRequest,
  choice: ChunkChoice,
  { signal, progress }: OperationRun,
): Promise<Report> {
  const call = (done: number, total: number | null): MoveCall => ({
    signal,
    onProgress: ({ chunksDone, chunksTotal, rows, rowsDone, stage, secondsLeft }) =>
      progress({
        done: done + chunksDone,
        total: total ?? chunksTotal,
        unit: 'chunks',
        text: stage === 'done' ? `${rowsDone} rows moved` : `${stage}: ${rows} rows`,
        secondsLeft: total === null ? secondsLeft : null,
      }),
  })
  if (chunks === undefined) return movedReport([await acts.engine[kind](dataset, choice, call(0, null))], [])
  const moved: Moved[] = []
  const failed: { chunk: string; reason: string }[] = []
  for (const [i, chunk] of chunks.entries()) {
    progress({ done: i, total: chunks.length, unit: 'chunks', text: `chunk ${chunk}`, secondsLeft: null })
    try {
      moved.push(await acts.engine[kind](dataset, { chunk: BigInt(chunk) }, call(i, chunks.length)))
    } catch (error) {
      // one that cannot be moved does not keep the others; of one alone its error is the answer
      if (!isTidemarkError(error) || chunks.length === 1 || signal.aborted) throw error
      failed.push({ chunk, reason: error.message })
    }
  }
  return movedReport(moved, failed)
}

function movedReport(all: readonly Moved[], more: readonly { chunk: string; reason: string }[]): Report {
  const sum = (value: (each: Moved) => number): number => all.reduce((total, each) => total + value(each), 0)
  const failed = [
    ...all.flatMap((each) => each.failed.map(({ chunk, reason }) => ({ chunk: String(chunk), reason }))),
    ...more,
  ]
  const taken = all.flatMap((each) => each.taken.map(String))
  const chunks = sum((each) => each.chunks)
  const rows = sum((each) => each.rows)
  return {
    text: [
      chunks === 0 ? 'nothing to move' : `${counted(chunks, 'chunk')} moved, ${counted(rows, 'row')}`,
      ...(taken.length === 0 ? [] : [`${counted(taken.length, 'chunk')} left, which somebody else moves`]),
      ...(failed.length === 0 ? [] : [`${counted(failed.length, 'chunk')} could not be moved`]),
    ].join('; '),
    chunks,
    rows,
    bytes: sum((each) => each.bytes),
    bytesBefore: sum((each) => each.bytesBefore),
    reclaimedBytes: sum((each) => each.reclaimedBytes ?? 0),
    taken: taken.slice(0, maxListed),
    failed: failed.slice(0, maxListed),
    counts: { taken: taken.length, failed: failed.length },
  }
}

async function verify(
  acts: OperationActs,
  dataset: HypertableDefinition | null,
  { chunks }: OperationRequest,
  { signal, progress }: OperationRun,
): Promise<Report> {
  const meant = chunks === undefined ? null : new Set(chunks)
  let total = 0
  for (const definition of dataset === null ? acts.engine.hypertables : [dataset])
    for (const { id, files } of await acts.chunks(definition))
      if (meant?.has(String(id)) ?? true) total += files
  let done = 0
  const tell = (text: string): void => progress({ done, total, unit: 'files', text, secondsLeft: null })
  tell('reading the catalog')
  const report = await acts.engine.verify(dataset === null ? null : [dataset.name], {
    signal,
    ...(chunks === undefined ? {} : { chunks: chunks.map(BigInt) }),
    onProgress: ({ rows }) => {
      done += 1
      tell(`${counted(rows, 'row')} compared`)
    },
  })
  const wrong = report.problems.filter(({ kind }) => kind !== 'stray').length
  return {
    text: `${counted(report.files, 'file')}, ${counted(report.rows, 'row')}: ${wrong === 0 ? 'each as it was written' : counted(wrong, 'problem')}`,
    ...report,
    problems: report.problems.slice(0, maxListed),
    counts: { problems: report.problems.length },
  }
}

async function refresh(
  acts: OperationActs,
  aggregate: string,
  { from, to }: OperationRequest,
  { signal, progress }: OperationRun,
): Promise<Report> {
  const { rows, cells, isBusy, buildError } = await acts.engine.refresh(aggregate, {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    signal,
    onProgress: ({ share, rows, cells, state, secondsLeft }) =>
      progress({
        done: Math.round(share * 100),
        total: 100,
        unit: 'percent',
        text: `${state === 'building' ? 'new version: ' : ''}${counted(cells, 'cell')} of ${counted(rows, 'row')}`,
        secondsLeft,
      }),
  })
  const text = isBusy
    ? 'somebody else is refreshing it'
    : cells === 0
      ? 'nothing to do'
      : `${counted(cells, 'cell')} of ${counted(rows, 'row')}`
  return { text, rows, cells, isBusy, buildError }
}

async function sweep(acts: OperationActs, signal: AbortSignal): Promise<Report> {
  const report = await acts.engine.sweep({ signal })
  const held = report.held === null ? '' : `; ${report.held}`
  return { text: `${counted(report.removed, 'file')} removed, ${report.kept} stay for now${held}`, ...report }
}

async function assertChunks(
  acts: OperationActs,
  definition: HypertableDefinition,
  { chunks }: OperationRequest,
): Promise<void> {
  if (chunks === undefined) return
  const known = new Set((await acts.chunks(definition)).map(({ id }) => String(id)))
  const missing = chunks.find((id) => !known.has(id))
  if (missing !== undefined) refuse('chunks', `${definition.name} has no chunk ${missing}`)
}

function hypertableOf({ engine }: OperationActs, name: string): HypertableDefinition {
  const definition = engine.dataset(name)
  return definition.kind === 'hypertable'
    ? definition
    : refuse('dataset', `${definition.name} is a plain table; only hypertables have chunks`)
}

function aggregateOf({ engine }: OperationActs, name: string): string {
  const definition = engine.queryable(name)
  return definition.kind === 'aggregate'
    ? definition.name
    : refuse('dataset', `${definition.name} is no continuous aggregate; only those are refreshed`)
}

function assertPoints({ from, to }: OperationRequest, clock: Clock): void {
  for (const [path, value] of Object.entries({ from, to })) {
    if (value === undefined) continue
    try {
      parsePoint(value, clock.now(), null)
    } catch (error) {
      if (!(error instanceof TimeProblem)) throw error
      refuse(path, error.problem)
    }
  }
}

function needed(dataset: string | undefined): string {
  return dataset ?? refuse('dataset', 'is missing')
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function refuse(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
