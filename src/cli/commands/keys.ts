import { Command } from 'commander'
import pc from 'picocolors'
import { type ApiKey, type IssuedKey, readNewKey, readOverlap } from '../../access/index.ts'
import { allTenants } from '../../schema/index.ts'
import { withContext } from '../context.ts'
import { textTable } from '../draw.ts'
import { splitList } from '../options.ts'
import { actorAtShell } from '../shell-actor.ts'

interface NewKeyCall {
  readonly scope: readonly string[]
  readonly tenant?: string
  readonly allTenants?: boolean
  readonly dataset: readonly string[]
  readonly expires?: string
}

export function keysCommand(): Command {
  const command = new Command('keys')
    .description('API keys of the server: list them; create, rotate or revoke one')
    .addHelpText(
      'after',
      `
tidemark keys create collector --scope ingest --tenant acme --expires "90 days"
tidemark keys list
tidemark keys rotate 4fJw0aQz81Tb --overlap "1 hour"
tidemark keys revoke 4fJw0aQz81Tb`,
    )
  command
    .command('list', { isDefault: true })
    .description('keys, the newest first; never their secrets')
    .option('--all', 'with those that were revoked')
    .action(async (options: { all?: boolean }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const keys = await tm.access.keys.list(actorAtShell(), { all: options.all === true })
        output.answer(keys, () => drawKeys(keys))
      })
    })
  command
    .command('create')
    .description('make a key; its secret is printed this once')
    .argument('<name>', 'what it is for')
    .option('--scope <scopes>', 'ingest, query, admin; several with commas', splitList, [])
    .option('--tenant <tenant>', 'whose rows it means')
    .option('--all-tenants', 'the rows of every tenant')
    .option('--dataset <names>', 'datasets that it may use; default: every one', splitList, [])
    .option('--expires <when>', 'a time, or how long from now; default: never')
    .action(async (name: string, options: NewKeyCall, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const wanted = readNewKey(
          {
            name,
            scopes: options.scope,
            tenant: options.tenant,
            allTenants: options.allTenants,
            datasets: options.dataset.length === 0 ? null : options.dataset,
            expires: options.expires,
          },
          {
            now: tm.now(),
            tenant: allTenants,
            hasTenants: tm.datasets.some(({ tenant }) => tenant !== null),
          },
        )
        const datasets = wanted.datasets?.map((dataset) => tm.queryable(dataset).name) ?? null
        const issued = await tm.access.keys.create({ ...wanted, datasets }, actorAtShell())
        output.answer(issued, () => drawIssued(issued))
      })
    })
  command
    .command('rotate')
    .description('a new secret for a key; the one before goes on for a while')
    .argument('<id>', 'of the key')
    .option('--overlap <time>', 'how long the secret before goes on; 0: not at all', '24 hours')
    .action(async (id: string, options: { overlap: string }, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const overlapMs = readOverlap(options.overlap)
        const issued = await tm.access.keys.rotate(id, actorAtShell(), { overlapMs })
        output.answer(issued, () => drawIssued(issued))
      })
    })
  command
    .command('revoke')
    .description('end a key for good; servers refuse it within seconds')
    .argument('<id>', 'of the key')
    .action(async (id: string, _: unknown, self: Command) => {
      await withContext(self.optsWithGlobals(), async ({ tm, output }) => {
        const key = await tm.access.keys.revoke(id, actorAtShell())
        output.answer(key, () => [`${pc.green('✓')} the key ${key.id} (${key.name}) is revoked`])
      })
    })
  return command
}

function drawIssued({ key, secret }: IssuedKey): string[] {
  return [
    `${pc.green('✓')} ${key.id} (${key.name}): ${key.scopes.join(', ')} for ${whose(key)}`,
    ...(key.overlapUntil === null ? [] : [`  the secret before goes on until ${key.overlapUntil}`]),
    '',
    pc.bold(secret),
    '',
    pc.dim('it is kept nowhere and printed this once; send it as Authorization: Bearer'),
  ]
}

function drawKeys(keys: readonly ApiKey[]): string[] {
  if (keys.length === 0) return ['no key; tidemark keys create makes one']
  return textTable(
    ['id', 'name', 'scopes', 'whose', 'datasets', 'ends', 'last used'].map((title) => ({
      title,
      align: 'left' as const,
    })),
    keys.map((key) => [
      key.id,
      key.name,
      key.scopes.join(' '),
      whose(key),
      key.datasets?.join(' ') ?? 'all',
      key.revokedAt === null ? (key.expiresAt ?? 'never') : `revoked ${key.revokedAt}`,
      key.lastUsedAt ?? 'never',
    ]),
  )
}

function whose({ allTenants: isAll, tenant }: ApiKey): string {
  return isAll ? 'all tenants' : `tenant ${tenant}`
}
