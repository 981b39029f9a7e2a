import { states } from '../aggregate/index.ts'
import type { ScanRequest, ScanResult } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { Cells } from './cells.ts'
import type { LakeFile } from './contract.ts'
import { groupByLayout } from './file-scope.ts'
import { filesFor } from './prune.ts'
import { allOrStop, InexactError, inStatements, type LakeAccess } from './read-files.ts'
import { columnsOfScan, type GroupQuestion, scanByRows, scanGroup } from './scan-group.ts'
import { partsOfScan, type SummaryQuestion, scanSummaries } from './summary-scan.ts'

/** Cells of some files. */
interface Found {
  readonly cells: Cells
  readonly rows: number
}

/**
 * Aggregates from files. What cannot hold a matching row is left out, summaries answer what they can; files whose columns lie
 * alike are one statement, and all statements run at once.
 */
export async function scanFiles(
  access: LakeAccess,
  request: ScanRequest,
  dataset: HypertableDefinition,
  catalog: readonly LakeFile[],
  useSummaries: boolean,
): Promise<ScanResult> {
  const files = filesFor(dataset, catalog, request.range, request.where)
  const parts =
    useSummaries && !access.onlyTypeScript && !request.slice
      ? partsOfScan(request, dataset, files)
      : { summaries: [], rows: [{ files, range: request.range }] }
  const opened = new Set<LakeFile>()
  const summarized = new Set<LakeFile>()
  const scanRows = (
    some: readonly LakeFile[],
    range: TimeRange | null,
  ): ((inner: LakeAccess) => Promise<Found>)[] => {
    for (const file of some) opened.add(file)
    const asked = { ...request, range }
    return statementsOf(dataset, some, asked).map(
      (statement) => (inner: LakeAccess) => exactly(inner, { ...statement, cells: new Cells(request) }),
    )
  }
  const scanKept = async (inner: LakeAccess, question: SummaryQuestion): Promise<Found> => {
    const cells = new Cells(request)
    const rows = await scanSummaries(inner, question, cells)
    if (rows !== null) {
      for (const file of question.files) summarized.add(file)
      return { cells, rows }
    }
    return together(
      request,
      await allOrStop(inner, scanRows(question.files, question.range ?? request.range)),
    )
  }
  const found = together(
    request,
    await allOrStop(access, [
      ...parts.rows.flatMap((part) => scanRows(part.files, part.range)),
      ...parts.summaries.map((question) => (inner: LakeAccess) => scanKept(inner, question)),
    ]),
  )
  let bytesRead = 0
  for (const file of opened) bytesRead += file.bytes
  for (const file of summarized) bytesRead += file.summary?.bytes ?? 0
  return {
    cells: found.cells.all(),
    rowsRead: found.rows,
    bytesRead,
    detail: { files: opened.size, summaries: summarized.size },
  }
}

type Statement = Omit<GroupQuestion, 'cells'>

/**
 * What is asked of DuckDB at once. Rows that count in their order have to be together: where statements would have rows among
 * each other's, each stretch of files is asked by itself, and one that is still several statements gives readings.
 */
function statementsOf(
  dataset: HypertableDefinition,
  files: readonly LakeFile[],
  request: ScanRequest,
): readonly Statement[] {
  const columns = columnsOfScan(request, dataset)
  const split = (some: readonly LakeFile[], asked: ScanRequest): Statement[] =>
    groupByLayout(dataset, some, columns).flatMap((group) =>
      inStatements(group.files).map((part) => ({ request: asked, group, files: part })),
    )
  const plain = split(files, request)
  const isOrdered = request.states.some(({ spec }) => states[spec.kind].ordered === true)
  if (!isOrdered || plain.length < 2 || stretchesOf(plain.map(({ files }) => files)).length === plain.length)
    return plain
  const readings = {
    ...request,
    states: request.states.map((state) =>
      states[state.spec.kind].ordered
        ? { ...state, spec: { ...state.spec, readings: true as const } }
        : state,
    ),
  }
  return stretchesOf(files.map((file) => [file])).flatMap((stretch) => {
    const alone = split(stretch, request)
    return alone.length < 2 ? alone : split(stretch, readings)
  })
}

/** Sets of files whose times overlap, directly or through others, together. */
function stretchesOf(sets: readonly (readonly LakeFile[])[]): LakeFile[][] {
  const spans = sets.map((files) => ({
    files,
    from: files.reduce((least, { minTime }) => (minTime < least ? minTime : least), files[0]!.minTime),
    to: files.reduce((most, { maxTime }) => (maxTime > most ? maxTime : most), files[0]!.maxTime),
  }))
  const stretches: LakeFile[][] = []
  let end: Instant | null = null
  for (const span of spans.sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))) {
    if (end !== null && span.from <= end) stretches.at(-1)!.push(...span.files)
    else stretches.push([...span.files])
    if (end === null || span.to > end) end = span.to
  }
  return stretches
}

function together(request: ScanRequest, all: readonly Found[]): Found {
  const [first, ...others] = all
  if (!first) return { cells: new Cells(request), rows: 0 }
  let { rows } = first
  for (const other of others) {
    first.cells.take(other.cells)
    rows += other.rows
  }
  return { cells: first.cells, rows }
}

async function exactly(access: LakeAccess, question: GroupQuestion): Promise<Found> {
  const { cells } = question
  try {
    return { cells, rows: await scanGroup(access, question) }
  } catch (error) {
    if (!(error instanceof InexactError)) throw error
    cells.clear()
    return { cells, rows: await scanByRows({ ...access, onlyTypeScript: true }, question) }
  }
}
