import { readFile, writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import pc from 'picocolors'
import type { Tidemark } from '../../engine.ts'
import {
  type Report,
  type ReportFormat,
  type Reports,
  reportFormats,
  toCsv,
  toHtml,
} from '../../reports/index.ts'
import { allTenants } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { withContext } from '../context.ts'
import { textTable } from '../draw.ts'
import { countOf } from '../draw-moves.ts'

interface Whose {
  readonly tenant?: string
}

export function reportsCommand(): Command {
  const command = new Command('reports')
    .description('saved queries that are asked on a schedule: list, save, run, show or remove them')
    .addHelpText(
      'after',
      `
tidemark reports save weekly weekly.json
tidemark reports run weekly
tidemark reports show weekly --format html --out weekly.html`,
    )
  command
    .command('list', { isDefault: true })
    .description('every report; with --tenant those of one')
    .option('--tenant <tenant>', 'whose')
    .action(async (options: Whose, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const reports = await of(tm, options).list()
        output.answer(reports, () => drawReports(reports))
      })
    })
  command
    .command('save')
    .description('save a report; one of that name is changed')
    .argument('<name>', 'a-z, 0-9, - and _')
    .argument('<file>', 'JSON: dataset, query, title, schedule, keep; docs/guide/reports.md')
    .option('--tenant <tenant>', 'whose rows it is about; default: those of every tenant')
    .action(async (name: string, file: string, options: Whose, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const report = await of(tm, options).save(name, await readJson(file), 'tidemark reports save')
        output.answer(report, () => [
          `${pc.green('✓')} ${report.name} is saved${report.nextAt === null ? '' : `; asked next at ${report.nextAt}`}`,
        ])
      })
    })
  command
    .command('run')
    .description('ask it now, and keep the answer')
    .argument('<name>')
    .option('--tenant <tenant>', 'whose')
    .action(async (name: string, options: Whose, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal }) => {
        const run = await of(tm, options).run(name, { signal })
        output.answer(run, () => [
          `${pc.green('✓')} ${countOf(run.rows, 'row')} in ${run.elapsedMs} ms; tidemark reports show ${name}`,
        ])
      })
    })
  command
    .command('show')
    .description('what it gave last, or in a run')
    .argument('<name>')
    .option('--tenant <tenant>', 'whose')
    .option('--format <format>', reportFormats.join(', '), 'csv')
    .option('--run <id>', 'of a run; default: the newest')
    .option('-o, --out <file>', 'write it there; default: print it')
    .action(
      async (
        name: string,
        options: Whose & { format: string; run?: string; out?: string },
        self: Command,
      ) => {
        await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
          const reports = of(tm, options)
          const format = formatOf(output.isJson && options.out === undefined ? 'json' : options.format)
          const { report, run } = await reports.latest(name, options.run ?? null)
          const answer = await reports.answer(name, run)
          if (options.out === undefined && output.isJson) return output.answer({ run, ...answer }, () => [])
          const text =
            format === 'csv'
              ? toCsv(answer)
              : format === 'html'
                ? toHtml(report, run, answer)
                : JSON.stringify(answer)
          if (options.out === undefined) return output.answer(answer, () => [text.trimEnd()])
          await writeFile(options.out, text)
          output.answer({ file: options.out, run }, () => [`${pc.green('✓')} ${options.out}, of ${run.asOf}`])
        })
      },
    )
  command
    .command('remove')
    .description('remove a report with everything it has given')
    .argument('<name>')
    .option('--tenant <tenant>', 'whose')
    .action(async (name: string, options: Whose, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        await of(tm, options).remove(name)
        output.answer({ name, removed: true }, () => [`${pc.green('✓')} ${name} is removed`])
      })
    })
  return command
}

function of(tm: Tidemark, { tenant }: Whose): Reports {
  return tm.reportsOf(tenant === undefined ? allTenants : { kind: 'one', tenant })
}

function formatOf(given: string): ReportFormat {
  const format = reportFormats.find((one) => one === given)
  if (format !== undefined) return format
  throw new TidemarkError('TM_QUERY', {
    path: '--format',
    problem: `"${given}" is not one of ${reportFormats.join(', ')}`,
  })
}

async function readJson(file: string): Promise<unknown> {
  const problem = (error: unknown): TidemarkError =>
    new TidemarkError(
      'TM_QUERY',
      { path: file, problem: error instanceof Error ? error.message : String(error) },
      { cause: error },
    )
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw problem(error)
  }
}

function drawReports(reports: readonly Report[]): string[] {
  if (reports.length === 0) return ['there is no report; tidemark reports save NAME FILE']
  return textTable(
    ['name', 'tenant', 'dataset', 'next', 'problem'].map((title) => ({ title, align: 'left' as const })),
    reports.map(({ name, tenant, dataset, nextAt, lastError }) => [
      name,
      tenant ?? '',
      dataset,
      nextAt ?? 'when asked for',
      lastError ?? '',
    ]),
  )
}
