import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { importCommand } from '../../src/cli/commands/import.ts'
import { migrateCommand } from '../../src/cli/commands/migrate.ts'
import { queryCommand } from '../../src/cli/commands/query.ts'
import { describeUsageError } from '../../src/cli/options.ts'
import { assertTogether, readQuery } from '../../src/cli/query-args.ts'

async function usageError(...args: string[]): Promise<{ code: string; message: string }> {
  const program = new Command('tidemark')
    .exitOverride()
    .configureOutput({ outputError: () => {}, writeErr: () => {} })
  for (const command of [importCommand, migrateCommand, queryCommand])
    program.addCommand(command().copyInheritedSettings(program))
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return describeUsageError(error, args[0])
    return error as { code: string; message: string }
  }
  throw new Error('was not refused')
}

describe('a call that the command line does not understand', () => {
  it.each<[string[], string | RegExp]>([
    [
      ['query', '--bukcet', '1d'],
      "tidemark query: unknown option '--bukcet'; Did you mean --bucket?; --help shows what is allowed",
    ],
    [['migrat'], /^tidemark: unknown command 'migrat'; Did you mean migrate\?/],
    [[], /^tidemark: which command is missing/],
    [['query'], /^tidemark query: missing required argument 'dataset'/],
    [['query', 'a', 'b'], /^tidemark query: too many arguments/],
    [['query', 'a', '-n', '0'], /'0' is invalid: must be a positive whole number/],
    [['import', 'a.csv'], /^tidemark import: required option '--into <dataset>' not specified/],
    [['import', 'a', '--into', 'x', '--format', 'xml'], /'xml' is invalid: Allowed choices are csv, ndjson/],
    [['migrate', '--drop-old'], '--drop-old: needs --convert'],
    [
      ['migrate', '--cancel-conversion', 'a', '--convert'],
      '--cancel-conversion: does not go together with --convert',
    ],
  ])('%j is one sentence of TM_CONFIG', async (args, message) => {
    const error = await usageError(...args)
    expect(error.code).toBe('TM_CONFIG')
    if (typeof message === 'string') expect(error.message).toBe(message)
    else expect(error.message).toMatch(message)
    expect(error.message).not.toContain('\n')
  })
})

describe('options of different kinds of queries', () => {
  it.each([
    [{ bucket: '1 day' }, /--bucket: needs --select/],
    [{ by: ['model'] }, /--by: needs --select/],
    [{ fill: '0', latestBy: ['model'] }, /--fill: needs --select/],
    [{ select: ['count()'], cursor: 'x' }, /--cursor: is for raw rows/],
    [{ select: ['count()'], latestBy: ['model'] }, /--latest-by: is for raw rows/],
    [{ latestBy: ['model'], direction: 'asc' }, /--direction: does not go together with --latest-by/],
  ])('%j is refused, not answered without the part that does not fit', (options, message) => {
    expect(() => assertTogether(options)).toThrow(message)
  })

  it.each([
    [{ select: ['count()'], bucket: '1 day', by: ['a'], columns: [], latestBy: [] }],
    [{ columns: ['a'], cursor: 'x', direction: 'desc', select: [], by: [] }],
    [{ latestBy: ['a'], columns: ['a'], select: [] }],
  ])('%j goes together', (options) => {
    expect(() => assertTogether(options)).not.toThrow()
  })

  it('a whole query stands alone', async () => {
    await expect(readQuery('{}', { query: '{}', select: [], limit: 3 })).rejects.toThrow(
      /--limit: does not go together/,
    )
    expect(await readQuery('{"limit":3}', { query: '', select: [], plan: true, timeout: 5 })).toEqual({
      limit: 3,
    })
  })

  it('a query file that is missing, a folder or no JSON is named', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-query-'))
    try {
      await writeFile(join(folder, 'bad.json'), '{')
      await expect(readQuery(`@${folder}/no.json`, {})).rejects.toThrow(/no\.json" cannot be read: ENOENT/)
      await expect(readQuery(`@${folder}`, {})).rejects.toThrow(/cannot be read: EISDIR/)
      await expect(readQuery(`@${folder}/bad.json`, {})).rejects.toThrow(/bad\.json: is not JSON/)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
