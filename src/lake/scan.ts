import type { ScanRequest, ScanResult } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
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
    useSummaries && !access.onlyTypeScript
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
    return groupByLayout(dataset, some, columnsOfScan(request, dataset)).flatMap((group) =>
      inStatements(group.files).map(
        (part) => (inner: LakeAccess) =>
          exactly(inner, { request: asked, group, files: part, cells: new Cells(request) }),
      ),
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
