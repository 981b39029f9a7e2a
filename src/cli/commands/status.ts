import { Command } from 'commander'
import pc from 'picocolors'
import type { Status } from '../../ops/index.ts'
import { withContext } from '../context.ts'
import { bar, formatBytes, formatDuration, formatNumber, textTable } from '../draw.ts'

export function statusCommand(): Command {
  return new Command('status')
    .description('datasets, chunks, sizes, jobs, dead letters')
    .option('--chunks', 'every chunk')
    .action(async (options: { chunks?: boolean }, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output }) => {
        const status = await tm.status()
        output.answer(status, () => drawStatus(status, options.chunks === true))
      })
    })
}

function drawStatus(status: Status, withChunks: boolean): string[] {
  const right = (title: string) => ({ title, align: 'right' as const })
  const left = (title: string) => ({ title, align: 'left' as const })
  const [header = '', ...rows] = textTable(
    [
      left('dataset'),
      left('kind'),
      right('rows ~'),
      right('data'),
      right('indexes'),
      right('chunks'),
      left('range'),
      left(''),
    ],
    status.datasets.map((dataset) => [
      dataset.name,
      dataset.kind,
      dataset.exists ? formatNumber(dataset.estimatedRows) : '-',
      dataset.exists ? formatBytes(dataset.bytes.rows) : '-',
      dataset.exists ? formatBytes(dataset.bytes.indexes) : '-',
      dataset.kind === 'hypertable' ? String(dataset.chunks.length) : '-',
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
    `change log: ${formatNumber(status.changeLog.entries)} entries, ${formatBytes(status.changeLog.bytes)}`,
  ]
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
      const max = Math.max(...dataset.chunks.map((chunk) => chunk.bytes))
      lines.push('', pc.bold(dataset.name))
      lines.push(
        ...textTable(
          [left('from'), left('to'), left('state'), right('rows ~'), right('bytes'), left('')],
          dataset.chunks.map((chunk) => [
            chunk.from,
            chunk.to,
            chunk.state,
            formatNumber(chunk.estimatedRows),
            formatBytes(chunk.bytes),
            bar(chunk.bytes, max),
          ]),
        ),
      )
    }
  }
  return lines
}
