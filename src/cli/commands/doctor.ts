import { Command } from 'commander'
import pc from 'picocolors'
import { withContext } from '../context.ts'

const marks = { ok: pc.green('✓'), note: pc.blue('i'), warn: pc.yellow('!'), fail: pc.red('✗') }

export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'look for everything that is known to go wrong; changes nothing; exit code 1 when something is',
    )
    .action(async (_options, command: Command) => {
      await withContext(command.optsWithGlobals(), async ({ tm, output }) => {
        const findings = await tm.doctor()
        output.answer({ findings }, () =>
          findings.flatMap((finding) => [
            `${marks[finding.level]} ${finding.check}: ${finding.message}`,
            ...(finding.todo === null ? [] : [pc.dim(`    ${finding.todo}`)]),
          ]),
        )
        if (findings.some((finding) => finding.level === 'fail')) process.exitCode = 1
      })
    })
}
