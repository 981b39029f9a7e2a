import type { HypertableDefinition } from '../schema/index.ts'
import {
  type Clock,
  parseInterval,
  parsePoint,
  type RangePoint,
  subtractInterval,
  TimeProblem,
} from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ChunkSelection } from './move-each.ts'

/** Which chunks are meant, as people say it. All of it has to hold. */
export interface ChunkChoice {
  /** Its number, as `tidemark status --chunks` shows it. */
  readonly chunk?: bigint | number
  /** Chunks that lie wholly in `[from, to)`; both as in a query. */
  readonly from?: RangePoint
  readonly to?: RangePoint
  /** Chunks that lie wholly before it: an instant, or an age such as `'7 days'`. */
  readonly olderThan?: RangePoint
  /** Every chunk; said, so that it is meant. */
  readonly all?: boolean
}

/**
 * The chunks of a choice; null when nothing was chosen.
 *
 * @throws TidemarkError TM_QUERY with the path of what is wrong.
 */
export function chooseChunks(choice: ChunkChoice, clock: Clock): ChunkSelection | null {
  const { chunk, from, to, olderThan, all } = choice
  if (chunk === undefined && from === undefined && to === undefined && olderThan === undefined)
    return all === true ? {} : null
  if (all === true) refuse('all', 'does not go together with a choice of chunks')
  const now = clock.now()
  const read = (path: string, value: RangePoint) => {
    try {
      return parsePoint(value, now, null)
    } catch (error) {
      if (error instanceof TimeProblem) return refuse(path, error.problem)
      throw error
    }
  }
  const selection = {
    ...(chunk === undefined ? {} : { chunk: readChunkId(chunk) }),
    ...(from === undefined ? {} : { from: read('from', from) }),
    ...(to === undefined ? {} : { to: read('to', to) }),
    ...(olderThan === undefined ? {} : { olderThan: read('olderThan', asPoint(olderThan)) }),
  }
  if (selection.from !== undefined && selection.to !== undefined && selection.from >= selection.to)
    refuse('from', 'is not before to')
  return selection
}

/** What the declaration's `freeze.after` means at this moment; null when there is none. */
export function dueChunks(definition: HypertableDefinition, clock: Clock): ChunkSelection | null {
  if (definition.freeze === null) return null
  return { olderThan: subtractInterval(clock.now(), definition.freeze.after, null) }
}

/** `7 days` is said of an age, so it lies in the past. */
function asPoint(value: RangePoint): RangePoint {
  if (typeof value !== 'string' || !/^\s*\d+\s*[a-zA-Z]+\s*$/.test(value)) return value
  try {
    parseInterval(value.trim())
  } catch (error) {
    if (error instanceof TimeProblem) return value
    throw error
  }
  return `-${value.trim()}`
}

function readChunkId(chunk: bigint | number): bigint {
  if (typeof chunk === 'bigint' || Number.isSafeInteger(chunk)) return BigInt(chunk)
  return refuse('chunk', 'must be the number of a chunk; `tidemark status --chunks` shows them')
}

function refuse(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
