import { Command } from 'commander'
import pc from 'picocolors'
import type { AuditEntry } from '../../access/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { withContext } from '../context.ts'
import { parsePositive } from '../options.ts'
import { actorAtShell } from '../shell-actor.ts'

export function auditCommand(): Command {
  return new Command('audit')
    .description('what administrators did: who, when, what, and what came of it')
    .option('--limit <n>', 'entries at most', parsePositive, 50)
    .option('--before <id>', 'entries older than this one')
    .option('--act <act>', 'of this kind alone, e.g. key.create')
    .option('--actor <actor>', 'of this key, subject or user alone')
    .action(
      async (options: { limit: number; before?: string; act?: string; actor?: string }, self: Command) => {
        await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
          const { limit, before = null, act = null, actor = null } = options
          if (before !== null && !/^\d{1,18}$/.test(before))
            throw new TidemarkError('TM_CONFIG', { path: '--before', problem: 'is no id of an entry' })
          const entries = await tm.access.audit.list(actorAtShell(), { limit, before, act, actor })
          output.answer(entries, () => (entries.length === 0 ? ['nothing was done'] : entries.map(drawEntry)))
        })
      },
    )
}

function drawEntry({ id, at, actorKind, actor, tenant, act, subject, outcome, address }: AuditEntry): string {
  const mark = { done: pc.green('✓'), refused: pc.yellow('·'), failed: pc.red('✗') }[outcome]
  const who = `${actorKind} ${actor}${tenant === null ? '' : ` of ${tenant}`}${address === null ? '' : ` at ${address}`}`
  return `${mark} ${pc.dim(id)} ${at} ${pc.bold(act)}${subject === null ? '' : ` ${subject}`} ${outcome === 'done' ? '' : `${outcome}, `}by ${who}`
}
