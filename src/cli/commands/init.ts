import { existsSync } from 'node:fs'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { TidemarkError } from '../../util/errors.ts'
import { createOutput } from '../output.ts'

const template = `import { defineConfig, hypertable, t } from 'tidemark/schema'

export const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    service: t.text(),
    status: t.text().default('ok'),
    latency_ms: t.float8(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  chunk: '1 day',
  orderBy: ['service', 'time'],
  indexes: [['service', '-time']],
})

export default defineConfig({ datasets: [requests] })
`

export function initCommand(): Command {
  return new Command('init')
    .description('write a tidemark.config.ts to start from')
    .action(async (_options, command: Command) => {
      const output = createOutput(command.optsWithGlobals()['json'] === true)
      const path = resolve('tidemark.config.ts')
      if (existsSync(path)) {
        throw new TidemarkError('TM_CONFIG', {
          path: 'tidemark.config.ts',
          problem: 'exists already; nothing was written',
        })
      }
      try {
        await writeFile(path, template, { flag: 'wx' })
      } catch (error) {
        throw new TidemarkError(
          'TM_CONFIG',
          { path, problem: `cannot be written: ${(error as NodeJS.ErrnoException).code ?? String(error)}` },
          { cause: error },
        )
      }
      const ignored = await ignoreDataFolder(resolve('.gitignore'))
      output.answer({ written: ['tidemark.config.ts'], gitignore: ignored }, () => [
        'wrote tidemark.config.ts' + (ignored ? ', and .tidemark/ into .gitignore' : ''),
        'next: change it to your tables, then: npx tidemark dev',
      ])
    })
}

/** Data must not reach a commit: only where there is a .gitignore already, and only if the line is missing. */
async function ignoreDataFolder(path: string): Promise<boolean> {
  if (!existsSync(path)) return false
  const text = await readFile(path, 'utf8')
  if (text.split(/\r?\n/).some((line) => line.trim().replace(/\/$/, '') === '.tidemark')) return false
  await appendFile(path, `${text === '' || text.endsWith('\n') ? '' : '\n'}.tidemark/\n`)
  return true
}
