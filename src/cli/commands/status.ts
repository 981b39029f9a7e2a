import { Command } from 'commander'
import pc from 'picocolors'
import type { Tidemark } from '../../engine.ts'
import type { AggregateStatus, DatasetLake, DatasetStatus, Status } from '../../ops/index.ts'
import { withContext } from '../context.ts'
import { bar, formatBytes, formatDuration, formatNumber, textTable } from '../draw.ts'

type EngineStatus = Awaited<ReturnType<Tidemark['status']>>

export function statusCommand(): Command {
  return new Command('status')
    .description('datasets, chunks, sizes, continuous aggregates, what is in the lake, jobs, dead letters')
    .option('--chunks', 'every chunk')
    .action(async (options: { chunks?: boolean }, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output }) => {
        const status = await tm.status()
        output.answer(status, () => drawStatus(status, options.chunks === true))
      })
    })
}

function drawStatus(status: Status & Pick<EngineStatus, 'spool'>, withChunks: boolean): string[] {
  const right = (title: string) => ({ title, align: 'right' as const })
  const left = (title: string) => ({ title, align: 'left' as const })
  const [header = '', ...rows] = textTable(
    [
      left('dataset'),
      left('kind'),
      right('rows ~'),
      right('data'),
      right('indexes'),
      right('lake'),
      right('ratio'),
      left('chunks'),
      left('range'),
      left(''),
    ],
    status.datasets.map((dataset) => [
      dataset.name,
      dataset.kind,
      dataset.exists ? formatNumber(dataset.estimatedRows) : '-',
      dataset.exists ? formatBytes(dataset.bytes.rows) : '-',
      dataset.exists ? formatBytes(dataset.bytes.indexes) : '-',
      dataset.lake && dataset.lake.coldChunks > 0 ? formatBytes(dataset.lake.bytes) : '-',
      dataset.lake?.before ? `${dataset.lake.before.ratio} : 1` : '-',
      dataset.lake ? chunksOf(dataset.lake) : '-',
      dataset.chunks.length === 0
        ? '-'
        : `${dataset.chunks[0]?.from.slice(0, 10)} … ${dataset.chunks.at(-1)?.to.slice(0, 10)}`,
      !dataset.exists ? 'not migrated' : dataset.defaultPartitionHasRows ? 'rows outside chunks' : '',
    ]),
  )
  const lines = [
    `PostgreSQL ${status.postgres.version} at ${status.postgres.target}, ${formatBytes(status.postgres.databaseBytes)}`,
    '',
    pc.bold(header),
    ...rows,
    '',
    ...drawAggregates(status.aggregates),
    ...status.datasets.flatMap(drawLake),
    ...(status.lake.files + status.lake.trash.files > 0
      ? [
          `lake: ${status.lake.store}, ${formatNumber(status.lake.files)} files, ${formatBytes(status.lake.bytes)}` +
            `; ${formatNumber(status.lake.trash.files)} wait for their removal, ${formatBytes(status.lake.trash.bytes)}` +
            `; ${formatBytes(status.lake.freeBytes)} free`,
        ]
      : []),
    `change log: ${formatNumber(status.changeLog.entries)} entries, ${formatBytes(status.changeLog.bytes)}`,
  ]
  const { spool } = status
  if (spool.bytes > 0)
    lines.push(
      `spool: ${formatBytes(spool.waitingBytes)} wait to be written, ${formatBytes(spool.bytes)} on disk` +
        (spool.oldest === null ? '' : `; the oldest came ${spool.oldest}`) +
        (spool.bytesPerSecond === null ? '' : `; ${formatBytes(spool.bytesPerSecond)}/s lately`),
    )
  if (status.alarms > 0) lines.push(pc.red(`alarms: ${status.alarms} open; tidemark alarms`))
  for (const letter of status.deadLetters) {
    lines.push(`dead letters: ${letter.dataset}, ${letter.reason}: ${formatNumber(letter.rows)}`)
  }
  for (const job of status.jobs) {
    lines.push(
      job.failuresInARow > 0
        ? pc.red(`job ${job.name}: failed ${job.failuresInARow} times in a row: ${job.lastError}`)
        : `job ${job.name}: last ${job.lastFinishedAt ?? 'never'}${job.lastMs === null ? '' : `, ${formatDuration(job.lastMs)}`}`,
    )
  }
  if (withChunks) {
    for (const dataset of status.datasets) {
      if (dataset.chunks.length === 0) continue
      const max = Math.max(...dataset.chunks.map((chunk) => chunk.bytes + chunk.coldBytes))
      lines.push('', pc.bold(dataset.name))
      lines.push(
        ...textTable(
          [
            right('chunk'),
            left('from'),
            left('to'),
            left('state'),
            right('rows ~'),
            right('PostgreSQL'),
            right('lake'),
            right('files'),
            right('before'),
            left(''),
          ],
          dataset.chunks.map((chunk) => [
            chunk.id,
            chunk.from,
            chunk.to,
            chunk.state,
            formatNumber(chunk.estimatedRows + chunk.coldRows),
            formatBytes(chunk.bytes),
            chunk.files > 0 ? formatBytes(chunk.coldBytes) : '-',
            chunk.files > 0 ? String(chunk.files) : '-',
            chunk.bytesBefore === null ? '-' : formatBytes(chunk.bytesBefore),
            bar(chunk.bytes + chunk.coldBytes, max),
          ]),
        ),
      )
    }
  }
  return lines
}

/** `20, 18 cold`. */
function chunksOf({ hotChunks, coldChunks }: DatasetLake): string {
  const all = formatNumber(hotChunks + coldChunks)
  return coldChunks === 0 ? all : `${all}, ${formatNumber(coldChunks)} cold`
}

/** What a line of the table has no room for. */
function drawLake({ name, lake }: DatasetStatus): string[] {
  if (lake === null) return []
  const { before, lateRows, deletedRows, nextFreeze, moveErrors, files, rows } = lake
  const said = [
    ...(files > 0 ? [`${formatNumber(rows)} rows in ${formatNumber(files)} files`] : []),
    ...(before === null
      ? []
      : [
          `${formatBytes(before.bytes)} with indexes became ${formatBytes(before.bytesNow)}` +
            (before.chunks < lake.coldChunks ? ` (${before.chunks} of ${lake.coldChunks} chunks)` : ''),
        ]),
    ...(lateRows > 0 ? [`about ${formatNumber(lateRows)} late rows in PostgreSQL`] : []),
    ...(deletedRows > 0 ? [`${formatNumber(deletedRows)} rows of files no longer count`] : []),
    ...(nextFreeze === null ? [] : [`next freeze from ${nextFreeze}`]),
  ]
  return [
    ...(said.length > 0 ? [pc.dim(`${name}: ${said.join('; ')}`)] : []),
    ...moveErrors.map(({ chunk, failures, error }) =>
      pc.red(`${name}: chunk ${chunk} could not be moved, ${failures} times in a row: ${error}`),
    ),
  ]
}

function unknownText(before: string | null): string {
  return before === null ? '' : `not all is known before ${before}`
}

function failureText({
  error,
  failures,
  triedAgainAt,
}: Pick<AggregateStatus, 'error' | 'failures' | 'triedAgainAt'>): string {
  const again = triedAgainAt === null ? '' : `, again at ${triedAgainAt}`
  return `failed ${failures} times in a row${again}: ${error}`
}

function drawAggregates(aggregates: readonly AggregateStatus[]): string[] {
  if (aggregates.length === 0) return []
  const [header = '', ...rows] = textTable(
    [
      { title: 'continuous aggregate', align: 'left' },
      { title: 'size', align: 'right' },
      { title: 'valid up to', align: 'left' },
      { title: 'lag', align: 'right' },
      { title: 'to compute', align: 'right' },
      { title: 'unseen changes', align: 'right' },
      { title: '', align: 'left' },
    ],
    aggregates.map(({ name, state, bytes, watermark, lagMs, invalidRanges, missedEntries, ...failed }) => [
      state === 'building' ? `${name} (new version)` : name,
      formatBytes(bytes),
      watermark ?? '-',
      lagMs === null ? '-' : lagMs === 0 ? 'none' : formatDuration(lagMs),
      formatNumber(invalidRanges),
      formatNumber(missedEntries),
      failed.error === null ? unknownText(failed.unknownBefore) : pc.red(failureText(failed)),
    ]),
  )
  return [pc.bold(header), ...rows, '']
}
