import { Command } from 'commander'
import pc from 'picocolors'
import type { FreezePlan, FreezeReport } from '../../engine/index.ts'
import { formatInstant } from '../../time/index.ts'
import {
  type ChunkOptions,
  countsOfMove,
  datasetsOf,
  moveOf,
  toChoice,
  withChunkOptions,
} from '../chunk-options.ts'
import { withContext } from '../context.ts'
import { formatBytes, formatNumber, textTable } from '../draw.ts'
import { countOf, describeMove, describeMoved, describeSizes, drawLeftOut } from '../draw-moves.ts'
import { createProgressBar } from '../progress.ts'

export function freezeCommand(): Command {
  const command = new Command('freeze')
    .description('move old chunks into the lake (Parquet); answers stay the same')
    .argument('[datasets...]', 'default: every hypertable that declares freeze.after')
  return withChunkOptions(command, 'every chunk, also the newest')
    .option('--dry-run', 'show what would be moved, how large it is, and what is in the way')
    .option('--block-writers', 'move also chunks that are changed all the time: their writers wait meanwhile')
    .addHelpText(
      'after',
      `
Without a choice of chunks those are moved that are older than freeze.after, as the worker does by itself.

Examples:
  tidemark freeze --dry-run
  tidemark freeze metrics.requests --older-than "7 days"
  tidemark freeze metrics.requests --from 2026-01-01 --to 2026-02-01`,
    )
    .action(
      async (
        names: string[],
        options: ChunkOptions & { dryRun?: boolean; blockWriters?: boolean },
        self: Command,
      ) => {
        await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
          const choice = toChoice(options)
          const isChosen = Object.keys(choice).length > 0
          const datasets = datasetsOf(
            tm,
            names,
            ({ freeze }) => freeze !== null || isChosen,
            'no hypertable declares freeze.after; name one, and its chunks (--older-than "7 days")',
          )
          if (options.dryRun) {
            const plans: FreezePlan[] = []
            for (const name of datasets) plans.push(await tm.planFreeze(name, choice))
            output.answer({ plans: plans.map(plainPlan) }, () => plans.flatMap(drawPlan))
            return
          }
          const progress = createProgressBar(process.stderr, 'freezing')
          const reports: FreezeReport[] = []
          try {
            for (const name of datasets) {
              const freeze = () =>
                tm.freeze(name, choice, {
                  signal,
                  blockWriters: options.blockWriters === true,
                  onProgress: (state) => {
                    if (!output.isJson) progress.update(describeMove(state))
                  },
                })
              reports.push(await audited(moveOf('freeze', name, choice), freeze, countsOfMove))
            }
          } finally {
            progress.end()
          }
          output.answer({ freezes: reports }, () => reports.flatMap(drawReport))
          if (reports.some(({ failed }) => failed.length > 0)) process.exitCode = 1
        })
      },
    )
}

function drawReport(report: FreezeReport): string[] {
  const { dataset, chunks, bytes, bytesBefore, reclaimedBytes, held } = report
  if (chunks === 0 && report.failed.length === 0 && report.taken.length === 0)
    return [`${dataset}: nothing to move`]
  const sizes = bytesBefore > 0 ? describeSizes(bytesBefore, bytes) : formatBytes(bytes)
  return [
    `${pc.green('✓')} ${dataset}: ${describeMoved(report)}; ${sizes}`,
    pc.dim(`  PostgreSQL gave back ${formatBytes(reclaimedBytes)}`),
    ...(held.length > 0
      ? [pc.dim(`  the space of ${countOf(held.length, 'chunk')} comes back later: ${held[0]!.reason}`)]
      : []),
    ...drawLeftOut(report),
  ]
}

function drawPlan(plan: FreezePlan): string[] {
  if (plan.chunks.length === 0) return [`${plan.dataset}: nothing to move`]
  const expected = plan.expectedBytes === null ? '' : `, about ${formatBytes(plan.expectedBytes)} in the lake`
  return [
    pc.bold(plan.dataset),
    ...textTable(
      [
        { title: 'chunk', align: 'right' },
        { title: 'from', align: 'left' },
        { title: 'to', align: 'left' },
        { title: 'state', align: 'left' },
        { title: 'rows ~', align: 'right' },
        { title: 'with indexes', align: 'right' },
      ],
      plan.chunks.map(({ id, range, state, hotRows, hotBytes }) => [
        String(id),
        formatInstant(range.from),
        formatInstant(range.to),
        state,
        formatNumber(Math.round(hotRows)),
        formatBytes(hotBytes),
      ]),
    ),
    `${formatNumber(Math.round(plan.rows))} rows, ${formatBytes(plan.bytes)} with indexes${expected}; nothing was moved`,
    ...[...new Set(plan.chunks.flatMap(({ obstacle }) => obstacle ?? []))].map((obstacle) =>
      pc.red(`✗ ${obstacle}`),
    ),
  ]
}

function plainPlan(plan: FreezePlan): unknown {
  return {
    ...plan,
    chunks: plan.chunks.map(({ range, frozenAt, ...chunk }) => ({
      ...chunk,
      from: formatInstant(range.from),
      to: formatInstant(range.to),
      frozenAt: frozenAt === null ? null : formatInstant(frozenAt),
    })),
  }
}
