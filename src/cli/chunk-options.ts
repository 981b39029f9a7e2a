import { type Command, InvalidArgumentError } from 'commander'
import type { MoveReport } from '../engine/index.ts'
import type { Tidemark } from '../engine.ts'
import type { ChunkChoice } from '../lifecycle/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ShellAct } from './audited.ts'

/** How the commands that move chunks are told which. */
export interface ChunkOptions {
  readonly olderThan?: string
  readonly from?: string
  readonly to?: string
  readonly chunk?: bigint
  readonly all?: boolean
}

export function withChunkOptions(command: Command, all: string): Command {
  return command
    .option('--older-than <age|time>', 'chunks wholly before it: "7 days", or a time')
    .option('--from <time>', 'chunks wholly from it on: ISO 8601, a date (UTC), or "-30 days"')
    .option('--to <time>', 'chunks wholly before it; as --from')
    .option('--chunk <number>', 'this one; "tidemark status --chunks" shows the numbers', parseChunk)
    .option('--all', all)
}

export function toChoice({ olderThan, from, to, chunk, all }: ChunkOptions): ChunkChoice {
  return {
    ...(olderThan === undefined ? {} : { olderThan }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(chunk === undefined ? {} : { chunk }),
    ...(all === true ? { all } : {}),
  }
}

/** For the audit log. */
export function moveOf(act: string, subject: string, { chunk, ...choice }: ChunkChoice): ShellAct {
  return {
    act,
    subject,
    detail: chunk === undefined ? { ...choice } : { ...choice, chunks: [String(chunk)] },
  }
}

/** What a move came to, for the audit log. */
export function countsOfMove({ chunks, rows, failed }: MoveReport): Readonly<Record<string, unknown>> {
  return { chunks, rows, failed: failed.length }
}

/** The named hypertables; without a name those that `isMeant`, and TM_QUERY when there is none. */
export function datasetsOf(
  tm: Tidemark,
  names: readonly string[],
  isMeant: (definition: Tidemark['hypertables'][number]) => boolean,
  problem: string,
): string[] {
  if (names.length > 0) return names.map((name) => tm.dataset(name).name)
  const meant = tm.hypertables.filter(isMeant).map(({ name }) => name)
  if (meant.length === 0) throw new TidemarkError('TM_QUERY', { path: 'dataset', problem })
  return meant
}

function parseChunk(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('a chunk has a number')
  return BigInt(text)
}
