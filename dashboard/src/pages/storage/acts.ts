import type { OperationRequest, StoredChunk } from 'tidemark/client'

export type Act = 'freeze' | 'thaw' | 'compact' | 'verify'

export const acts: readonly Act[] = ['freeze', 'thaw', 'compact', 'verify']

export const actNames: Readonly<Record<Act, string>> = {
  freeze: 'Freeze',
  thaw: 'Thaw',
  compact: 'Compact',
  verify: 'Verify',
}

/** `t` is the theme's. */
export const actKeys: Readonly<Record<Act, string>> = { freeze: 'f', thaw: 'w', compact: 'c', verify: 'v' }

/** What an act would do with the chosen chunks. */
export interface ActPlan {
  readonly act: Act
  /** Those that it is for. */
  readonly chunks: readonly StoredChunk[]
  readonly rows: number
  /** Where the rows come from. */
  readonly bytes: number
  /** Where they go to, by what is known of chunks that went before; null: nothing is. */
  readonly expectedBytes: number | null
  readonly leftOut: readonly { readonly reason: string; readonly count: number }[]
  /** Those that rows may still come for. */
  readonly unfinished: number
}

/** Why a chunk is not one for it; null: it is. */
function reasonAgainst(act: Act, chunk: StoredChunk): string | null {
  if (act === 'freeze') return chunk.state === 'cold' ? 'in the lake already' : null
  if (chunk.state === 'cold' || chunk.state === 'delta') return null
  return 'not in the lake'
}

/** `ratio`: how many times smaller chunks of the table are in the lake. */
export function planAct(
  act: Act,
  chosen: readonly StoredChunk[],
  ratio: number | null,
  now: number,
): ActPlan {
  const leftOut = new Map<string, number>()
  const chunks = chosen.filter((chunk) => {
    const reason = reasonAgainst(act, chunk)
    if (reason !== null) leftOut.set(reason, (leftOut.get(reason) ?? 0) + 1)
    return reason === null
  })
  const moves = (chunk: StoredChunk): number =>
    act === 'freeze' ? chunk.hotRows : chunk.rows - chunk.hotRows
  const bytes = sum(chunks, (chunk) => (act === 'freeze' ? chunk.bytes : chunk.coldBytes))
  return {
    act,
    chunks,
    rows: sum(chunks, moves),
    bytes,
    expectedBytes: expected(act, chunks, ratio, bytes),
    leftOut: [...leftOut].map(([reason, count]) => ({ reason, count })),
    unfinished: chunks.filter(({ to }) => Date.parse(to) > now).length,
  }
}

function expected(
  act: Act,
  chunks: readonly StoredChunk[],
  ratio: number | null,
  bytes: number,
): number | null {
  if (act === 'freeze') return ratio === null ? null : bytes / ratio
  if (act !== 'thaw') return null
  const known = chunks.every(({ bytesBefore }) => bytesBefore !== null)
  if (known) return sum(chunks, ({ bytesBefore }) => bytesBefore as number)
  return ratio === null ? null : bytes * ratio
}

/** The server takes no more by their ids. */
export const maxNamed = 1000

/** What is asked of the server; more chunks than can be named are meant by their time, of `verify` by their table. */
export function requestOf(
  { act, chunks }: Pick<ActPlan, 'act' | 'chunks'>,
  dataset: string,
): OperationRequest {
  if (chunks.length <= maxNamed) return { kind: act, dataset, chunks: chunks.map(({ id }) => id) }
  if (act === 'verify') return { kind: act, dataset }
  return { kind: act, dataset, from: chunks[0]!.from, to: chunks[chunks.length - 1]!.to }
}

/** What there is of chosen chunks. */
export interface ChosenTotals {
  readonly chunks: number
  readonly rows: number
  readonly hotRows: number
  readonly bytes: number
  readonly coldBytes: number
  readonly files: number
  /** How many times smaller those are of which it is known; null: of none. */
  readonly ratio: number | null
}

export function totalsOf(chunks: readonly StoredChunk[]): ChosenTotals {
  const known = chunks.filter(({ bytesBefore, coldBytes }) => bytesBefore !== null && coldBytes > 0)
  const now = sum(known, ({ coldBytes }) => coldBytes)
  return {
    chunks: chunks.length,
    rows: sum(chunks, ({ rows }) => rows),
    hotRows: sum(chunks, ({ hotRows }) => hotRows),
    bytes: sum(chunks, ({ bytes }) => bytes),
    coldBytes: sum(chunks, ({ coldBytes }) => coldBytes),
    files: sum(chunks, ({ files }) => files),
    ratio: now === 0 ? null : sum(known, ({ bytesBefore }) => bytesBefore as number) / now,
  }
}

/** Places of the chunks that lie wholly in a range; null: none does. */
export function chunksWithin(
  chunks: readonly StoredChunk[],
  range: { readonly from: number; readonly to: number },
): { readonly first: number; readonly last: number } | null {
  const first = chunks.findIndex(({ from }) => Date.parse(from) >= range.from)
  const last = chunks.findLastIndex(({ to }) => Date.parse(to) <= range.to)
  return first < 0 || last < first ? null : { first, last }
}

function sum<T>(of: readonly T[], value: (each: T) => number): number {
  return of.reduce((total, each) => total + value(each), 0)
}
