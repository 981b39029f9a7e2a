import { Command } from 'commander'
import pc from 'picocolors'
import type { Alarm } from '../../ops/index.ts'
import { withContext } from '../context.ts'
import { countOf } from '../draw-moves.ts'

export function alarmsCommand(): Command {
  const command = new Command('alarms')
    .description('answers that a shadow check found wrong, and whatever else must not be overlooked')
    .option('--all', 'with those that were acknowledged')
    .action(async (options: { all?: boolean }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const alarms = await tm.alarms({ all: options.all === true })
        output.answer(alarms, () =>
          alarms.length === 0 ? [`${pc.green('✓')} no alarm`] : alarms.flatMap(drawAlarm),
        )
        if (alarms.some(({ acknowledgedAt }) => acknowledgedAt === null)) process.exitCode = 1
      })
    })
  command
    .command('ack')
    .description('somebody has seen to it; it is open again when it happens again')
    .argument('<id>', 'number of the alarm')
    .action(async (id: string, _: unknown, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output, audited }) => {
        await audited({ act: 'alarm.acknowledge', subject: id }, () => tm.acknowledgeAlarm(id))
        output.answer({ id, acknowledged: true }, () => [`${pc.green('✓')} alarm ${id} is acknowledged`])
      })
    })
  return command
}

function drawAlarm({ id, kind, dataset, detail, count, firstAt, lastAt, acknowledgedAt }: Alarm): string[] {
  const { total, differences, problem } = detail as {
    problem?: string
    total?: number
    differences?: readonly { keys: unknown; output: string | null; problem: string }[]
  }
  const first = differences?.[0]
  return [
    `${acknowledgedAt === null ? pc.red('✗') : pc.dim('·')} ${id} ${kind} ${dataset}: ${countOf(count, 'time')}, last ${lastAt}, first ${firstAt}`,
    ...(first
      ? [
          `  ${countOf(total ?? 0, 'value')} differ; ${JSON.stringify(first.keys)}${first.output === null ? '' : ` ${first.output}`}: ${first.problem}`,
        ]
      : []),
    ...(problem === undefined ? [] : [`  ${problem}`]),
    ...(acknowledgedAt === null
      ? [
          pc.dim(
            `  ${first ? 'tidemark alarms --json shows both plans; then' : 'when it is seen to'}: tidemark alarms ack ${id}`,
          ),
        ]
      : []),
  ]
}
