import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { auditCommand } from '../../src/cli/commands/audit.ts'
import { boardsCommand } from '../../src/cli/commands/boards.ts'
import { compactCommand } from '../../src/cli/commands/compact.ts'
import { deadLettersCommand } from '../../src/cli/commands/dead-letters.ts'
import { devCommand } from '../../src/cli/commands/dev.ts'
import { doctorCommand } from '../../src/cli/commands/doctor.ts'
import { ejectCommand } from '../../src/cli/commands/eject.ts'
import { eraseCommand } from '../../src/cli/commands/erase.ts'
import { freezeCommand } from '../../src/cli/commands/freeze.ts'
import { importCommand } from '../../src/cli/commands/import.ts'
import { initCommand } from '../../src/cli/commands/init.ts'
import { keysCommand } from '../../src/cli/commands/keys.ts'
import { migrateCommand } from '../../src/cli/commands/migrate.ts'
import { productCommand } from '../../src/cli/commands/product.ts'
import { queryCommand } from '../../src/cli/commands/query.ts'
import { sqlCommand } from '../../src/cli/commands/sql.ts'
import { statusCommand } from '../../src/cli/commands/status.ts'
import { sweepCommand } from '../../src/cli/commands/sweep.ts'
import { thawCommand } from '../../src/cli/commands/thaw.ts'
import { verifyCommand } from '../../src/cli/commands/verify.ts'
import { workerCommand } from '../../src/cli/commands/worker.ts'

const page = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../docs/reference/${name}`, import.meta.url)), 'utf8')
const reference = `${page('cli.md')}\n${page('import.md')}`
const commands: readonly Command[] = [
  initCommand(),
  devCommand(),
  migrateCommand(),
  importCommand(),
  productCommand(),
  queryCommand(),
  sqlCommand(),
  statusCommand(),
  deadLettersCommand(),
  keysCommand(),
  ...keysCommand().commands.map((command) => command.name(`keys ${command.name()}`)),
  ...boardsCommand().commands.map((command) => command.name(`boards ${command.name()}`)),
  auditCommand(),
  freezeCommand(),
  thawCommand(),
  compactCommand(),
  verifyCommand(),
  eraseCommand(),
  sweepCommand(),
  ejectCommand(),
  workerCommand(),
  doctorCommand(),
]
/** Of the program itself. */
const everywhere = ['--config', '--json', '--help', '--version']

describe('the reference of the command line', () => {
  it.each(commands.map((command) => [command.name(), command] as const))(
    'names %s and each of its options',
    (name, command) => {
      expect(reference).toContain(`tidemark ${name}`)
      const missing = command.options
        .map(({ long }) => long)
        .filter((long) => !hasFlag(reference, long ?? ''))
      expect(missing).toEqual([])
    },
  )

  it('names no option that does not exist', () => {
    const known = new Set([...everywhere, ...commands.flatMap((c) => c.options.map(({ long }) => long))])
    const named = [...reference.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag)
    expect(named.length).toBeGreaterThan(30)
    expect([...new Set(named)].filter((flag) => !known.has(flag))).toEqual([])
  })
})

function hasFlag(text: string, flag: string): boolean {
  return new RegExp(`(?<![\\w-])${flag}(?![\\w-])`).test(text)
}
