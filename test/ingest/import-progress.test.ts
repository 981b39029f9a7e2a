import { expect, it } from 'vitest'
import { drawImportReport } from '../../src/cli/commands/import.ts'
import { type ImportProgress, ProgressTeller } from '../../src/ingest/import-progress.ts'
import type { ImportReport } from '../../src/ingest/index.ts'

it('the speed and the time left of an import that goes on are those of this run, not of what was in before', () => {
  let now = 0
  const told: ImportProgress[] = []
  const teller = new ProgressTeller(
    'cpu.csv',
    1_000,
    (progress) => told.push(progress),
    () => now,
  )
  // 600 of 1000 records are in: they are gone over in 2 s
  now = 2_000
  teller.tell({ bytesRead: 600, records: 600, recordsThisRun: 0, rows: 600, dead: 0 }, false)
  expect(told[0]).toMatchObject({ recordsPerSecond: 0, secondsLeft: null })
  teller.begin()
  now = 12_000
  teller.tell({ bytesRead: 800, records: 800, recordsThisRun: 200, rows: 800, dead: 0 }, false)
  expect(told[1]).toMatchObject({ recordsPerSecond: 20, secondsLeft: 10 })
})

it('the closing line of an import that goes on has the speed of this run', () => {
  const report = {
    file: 'cpu.csv',
    dataset: 'metrics.cpu',
    isResumed: true,
    records: 1_000_000,
    recordsThisRun: 20_000,
    rows: 1_000_000,
    dead: 0,
    deadByReason: {},
    ignored: 0,
    updated: 0,
    notes: {},
    bytes: 1_000,
    elapsedMs: 2_000,
    cold: null,
  } as unknown as ImportReport
  expect(drawImportReport(report)[0]).toContain('10,000 rows/s')
})
