import type { ScanRequest, ScanResult } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { Cells } from './cells.ts'
import type { LakeFile } from './contract.ts'
import { groupByLayout } from './file-scope.ts'
import { filesFor } from './prune.ts'
import { allOrStop, InexactError, inStatements, type LakeAccess } from './read-files.ts'
import { columnsOfScan, type GroupQuestion, scanByRows, scanGroup } from './scan-group.ts'

/**
 * Aggregates from files. What cannot hold a matching row is left out; files whose columns lie alike are one statement, and
 * all statements run at once.
 */
export async function scanFiles(
  access: LakeAccess,
  request: ScanRequest,
  dataset: HypertableDefinition,
  catalog: readonly LakeFile[],
): Promise<ScanResult> {
  const files = filesFor(dataset, catalog, request.range, request.where)
  const groups = groupByLayout(dataset, files, columnsOfScan(request, dataset))
  const questions = groups.flatMap((group) =>
    inStatements(group.files).map(
      (part): GroupQuestion => ({ request, group, files: part, cells: new Cells(request) }),
    ),
  )
  const counts = await allOrStop(
    access,
    questions.map((question) => (inner: LakeAccess) => exactly(inner, question)),
  )
  const [first, ...others] = questions
  const cells = first?.cells ?? new Cells(request)
  for (const other of others) cells.take(other.cells)
  return {
    cells: cells.all(),
    rowsRead: counts.reduce((sum, count) => sum + count, 0),
    bytesRead: files.reduce((sum, file) => sum + file.bytes, 0),
    detail: { files: files.length, summaries: 0 },
  }
}

async function exactly(access: LakeAccess, question: GroupQuestion): Promise<number> {
  try {
    return await scanGroup(access, question)
  } catch (error) {
    if (!(error instanceof InexactError)) throw error
    question.cells.clear()
    return scanByRows({ ...access, onlyTypeScript: true }, question)
  }
}
