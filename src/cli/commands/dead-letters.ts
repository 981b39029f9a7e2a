import { Command, Option } from 'commander'
import pc from 'picocolors'
import {
  type DeadLetter,
  type DeadLetterChoice,
  type DeadLetterGroup,
  type ExplainedLetter,
  type FixReport,
  type ReplayReport,
  type RowChange,
  valueOfText,
} from '../../pipeline/index.ts'
import type { StoredDefinition } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { confirm } from '../confirm.ts'
import { withContext } from '../context.ts'
import { countOf } from '../draw-moves.ts'
import { collect, parsePositive } from '../options.ts'

interface Chosen {
  readonly dataset?: string
  readonly reason?: string
  readonly all?: boolean
}

export function deadLettersCommand(): Command {
  const command = new Command('dead-letters')
    .description('rows that were not taken: list them; show, fix, replay or drop them')
    .option('--samples <n>', 'how many of each kind', parsePositive, 3)
    .addHelpText(
      'after',
      `
tidemark dead-letters                                     by dataset and reason
tidemark dead-letters show 17                             the row, what is wrong, what is allowed, what to do
tidemark dead-letters fix --dataset events --rename userid=user_id --apply
tidemark dead-letters replay --dataset events`,
    )
  chosen(command).action(async (_: unknown, self: Command) => {
    const options = self.optsWithGlobals<Chosen & { samples: number }>()
    await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
      const groups = await tm.deadLetters.groups(choiceOf([], options), { samples: options.samples })
      output.answer(groups, () =>
        groups.length === 0 ? [`${pc.green('✓')} no dead letter`] : groups.flatMap(drawGroup),
      )
    })
  })
  command
    .command('show')
    .alias('explain')
    .description('the row, what was wrong with it, what is allowed, what to do')
    .argument('<id>', 'number of the letter')
    .action(async (id: string, _: unknown, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const letter = await tm.deadLetters.explain(id)
        output.answer(letter, () => drawLetter(letter))
      })
    })
  chosen(
    command.command('fix').description('correct stored rows; without --apply only shows what would be done'),
  )
    .argument('[ids...]', 'numbers of letters')
    .option('--all', 'every letter')
    .option('--rename <old=new>', 'another name for a column; may be given several times', collect, [])
    .option('--drop <column>', 'leave a column out; may be given several times', collect, [])
    .option(
      '--set <column=value>',
      'a value, as JSON where the column takes no text; may be given several times',
      collect,
      [],
    )
    .option('--row <json>', 'the whole row, for a letter that holds none')
    .option('--apply', 'do it')
    .action(async (ids: string[], _: unknown, self: Command) => {
      const options = self.optsWithGlobals<FixCall>()
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const definition = options.dataset === undefined ? null : tm.dataset(options.dataset)
        const only =
          definition ??
          (ids.length === 1 ? await definitionOf(tm, ids[0] as string) : soleDefinition(tm.datasets))
        const apply = options.apply ?? false
        const choice = choiceOf(ids, options)
        const fix = () => tm.deadLetters.fix(choice, changeOf(options, only), { apply, signal })
        const act = { act: 'dead-letters.fix', subject: null, detail: shortOf(choice) }
        const report = await (apply ? audited(act, fix, ({ changed }) => ({ changed })) : fix())
        output.answer(report, () => drawFix(report))
      })
    })
  chosen(
    command
      .command('replay')
      .description('give rows to the pipeline once more; those that go in are gone here'),
  )
    .argument('[ids...]', 'numbers of letters')
    .option('--all', 'every letter')
    .addOption(
      new Option(
        '--on-conflict <rule>',
        'of rows whose key exists, in place of the rule they came with',
      ).choices(['error', 'ignore', 'update']),
    )
    .action(async (ids: string[], _: unknown, self: Command) => {
      const options = self.optsWithGlobals<Chosen & { onConflict?: 'error' | 'ignore' | 'update' }>()
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        await tm.openEnrichment()
        const { onConflict } = options
        const choice = choiceOf(ids, options)
        const report = await audited(
          { act: 'dead-letters.replay', subject: null, detail: shortOf(choice) },
          () =>
            tm.deadLetters.replay(choice, { signal, ...(onConflict === undefined ? {} : { onConflict }) }),
          ({ replayed, rejected }) => ({ replayed, rejected: rejected.count }),
        )
        output.answer(report, () => drawReplay(report))
        if (report.rejected.count > 0 || Object.keys(report.unreadable).length > 0) process.exitCode = 1
      })
    })
  chosen(command.command('drop').description('delete letters for good'))
    .argument('[ids...]', 'numbers of letters')
    .option('--all', 'every letter')
    .option('--yes', 'do not ask')
    .action(async (ids: string[], _: unknown, self: Command) => {
      const options = self.optsWithGlobals<Chosen & { yes?: boolean }>()
      await withContext(self.optsWithGlobals(), async ({ tm, output, signal, audited }) => {
        const choice = choiceOf(ids, options)
        const groups = await tm.deadLetters.groups(choice, { samples: 0 })
        const found = groups.reduce((sum, { count }) => sum + count, 0)
        if (options.yes !== true && found > 0)
          await confirm(
            'dead-letters drop',
            'dropping dead letters',
            `${countOf(found, 'row')} will be lost.`,
            signal,
          )
        const dropped = await audited(
          { act: 'dead-letters.drop', subject: null, detail: shortOf(choice) },
          () => tm.deadLetters.drop(choice),
          (deleted) => ({ deleted }),
        )
        output.answer({ dropped }, () => [`${pc.green('✓')} ${countOf(dropped, 'dead letter')} dropped`])
      })
    })
  return command
}

/** The command and those below it have these options; whoever reads them asks for all (`optsWithGlobals`), because the upper one takes them. */
function chosen(command: Command): Command {
  return command
    .option('--dataset <name>', 'those of one dataset')
    .option('--reason <code>', 'those of one reason; docs/guide/dead-letters.md')
}

function choiceOf(ids: readonly string[], { dataset, reason, all }: Chosen): DeadLetterChoice {
  return {
    ...(ids.length === 0 ? {} : { ids }),
    ...(dataset === undefined ? {} : { dataset }),
    ...(reason === undefined ? {} : { reason }),
    ...(all === undefined ? {} : { all }),
  }
}

/** Of many ids only how many. */
function shortOf({ ids, ...choice }: DeadLetterChoice): Record<string, unknown> {
  return ids === undefined ? { ...choice } : { ...choice, ids: ids.length > 20 ? ids.length : ids }
}

interface FixCall extends Chosen {
  readonly rename: readonly string[]
  readonly drop: readonly string[]
  readonly set: readonly string[]
  readonly row?: string
  readonly apply?: boolean
}

/** @throws TidemarkError TM_CONFIG where an option has not its form. */
function changeOf(options: FixCall, definition: StoredDefinition | null): RowChange {
  const pairs = (option: string, form: string, entries: readonly string[]): [string, string][] =>
    entries.map((entry) => {
      const at = entry.indexOf('=')
      if (at < 1)
        throw new TidemarkError('TM_CONFIG', { path: option, problem: `"${entry}" has not the form ${form}` })
      return [entry.slice(0, at), entry.slice(at + 1)]
    })
  return {
    rename: Object.fromEntries(pairs('--rename', 'old=new', options.rename)),
    drop: options.drop,
    set: Object.fromEntries(
      pairs('--set', 'column=value', options.set).map(([column, text]) => [
        column,
        valueOfText(definition, column, text),
      ]),
    ),
    ...(options.row === undefined ? {} : { row: parseRow(options.row) }),
  }
}

function parseRow(text: string): Record<string, unknown> {
  let row: unknown
  try {
    row = JSON.parse(text)
  } catch {
    row = null
  }
  if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Record<string, unknown>
  throw new TidemarkError('TM_CONFIG', { path: '--row', problem: 'is not a JSON object' })
}

/** Whose columns say whether `--set n=1` is a number or a text. */
async function definitionOf(
  tm: Parameters<Parameters<typeof withContext>[1]>[0]['tm'],
  id: string,
): Promise<StoredDefinition | null> {
  const [letter] = await tm.deadLetters.list({ ids: [id] }, { limit: 1 })
  return tm.datasets.find(({ name }) => name === letter?.dataset) ?? null
}

function soleDefinition(datasets: readonly StoredDefinition[]): StoredDefinition | null {
  return datasets.length === 1 ? (datasets[0] as StoredDefinition) : null
}

function drawGroup({ dataset, reason, count, firstAt, lastAt, samples }: DeadLetterGroup): string[] {
  return [
    `${pc.bold(dataset)} ${pc.yellow(reason)}: ${countOf(count, 'row')}, ${firstAt} to ${lastAt}`,
    ...samples.flatMap((letter) => [
      `  ${letter.id}  ${letter.message}`,
      pc.dim(
        `      ${letter.source}, ${letter.isImported ? 'line' : 'place'} ${letter.line}: ${shorten(letter, 100)}`,
      ),
    ]),
    ...(samples.length < count ? [pc.dim(`  … ${countOf(count - samples.length, 'other')}`)] : []),
  ]
}

function shorten({ raw }: DeadLetter, most: number): string {
  if (raw === null) return '(nothing is kept)'
  return raw.length > most ? `${raw.slice(0, most - 1)}…` : raw
}

function drawLetter(letter: ExplainedLetter): string[] {
  const lines = [
    `${pc.bold(letter.dataset)} ${pc.yellow(letter.reason)}, ${letter.createdAt}, ${letter.source} ${letter.isImported ? 'line' : 'place'} ${letter.line}`,
    ...(letter.row === null
      ? [`  ${shorten(letter, 2000)}`]
      : Object.entries(letter.row).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`)),
    `${pc.bold('wrong')}    ${letter.message}`,
  ]
  for (const { column, value, problem } of letter.problems) {
    const text = column === null ? problem : `"${column}" ${problem}`
    if (text !== letter.message) lines.push(`         ${text} (${value})`)
  }
  for (const [i, text] of letter.allowed.entries())
    lines.push(`${i === 0 ? `${pc.bold('allowed')}  ` : '         '}${text}`)
  lines.push(`${pc.bold('to do')}    ${letter.todo}`)
  return lines
}

function drawFix({ isApplied, changed, fits, unchanged, failed, samples }: FixReport): string[] {
  const would = isApplied ? '' : 'would be '
  return [
    ...samples.flatMap(({ id, patch, problem }) => [
      `${id}  ${JSON.stringify(patch)}`,
      ...(problem === null ? [] : [pc.yellow(`    still wrong: ${problem}`)]),
    ]),
    `${isApplied ? `${pc.green('✓')} ` : ''}${countOf(changed, 'row')} ${would}changed, ${fits} of them fit then`,
    ...(unchanged === 0 ? [] : [`${countOf(unchanged, 'row')} without anything of that`]),
    ...Object.entries(failed).map(([why, count]) => pc.yellow(`${countOf(count, 'letter')}: ${why}`)),
    ...(isApplied || changed === 0
      ? []
      : [pc.dim('nothing is changed yet: --apply does it; then tidemark dead-letters replay')]),
    ...(isApplied && fits > 0 ? [pc.dim('tidemark dead-letters replay gives them to the pipeline')] : []),
  ]
}

function drawReplay(report: ReplayReport): string[] {
  const { replayed, inserted, updated, ignored, merged, duplicates, rejected, unreadable } = report
  const parts = [
    [inserted, 'inserted'],
    [updated, 'updated'],
    [ignored, 'left as they were'],
    [merged, 'merged into aggregates'],
    [duplicates, 'stored before'],
  ] as const
  const shown = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  return [
    `${pc.green('✓')} ${countOf(replayed, 'dead letter')} replayed${shown.length === 0 ? '' : `: ${shown.join(', ')}`}`,
    ...(rejected.count === 0 ? [] : [pc.yellow(`${countOf(rejected.count, 'row')} refused again:`)]),
    ...rejected.letters.slice(0, 10).map(({ id, message }) => `  ${id}  ${message}`),
    ...Object.entries(unreadable).map(([why, count]) =>
      pc.yellow(`${countOf(count, 'letter')} not replayed: ${why}`),
    ),
  ]
}
