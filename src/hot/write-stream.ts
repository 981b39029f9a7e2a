import { setImmediate as nextTurn } from 'node:timers/promises'
import { TidemarkError } from '../util/errors.ts'
import type { OnConflict, WrittenCounts } from './batch-contract.ts'
import type { Collector } from './collector.ts'
import type { WritableTable } from './writable-table.ts'
import type { InsertOptions, Rows } from './write-contract.ts'
import { positive } from './write-errors.ts'
import { addCounts } from './write-statements.ts'

/** What a stream of rows needs of the writer. */
export interface StreamTarget {
  readonly table: WritableTable
  readonly onConflict: OnConflict
  open(batchRows: number): Promise<Collector>
  commit(collector: Collector, signal: AbortSignal): Promise<WrittenCounts>
}

type Totals = { -readonly [Count in keyof WrittenCounts]: WrittenCounts[Count] }

/** Batches, up to `connections` of them being written while the next one is filled. */
export async function writeStream(
  target: StreamTarget,
  rows: Rows,
  options: InsertOptions,
): Promise<WrittenCounts> {
  const { definition } = target.table
  const connections = positive(options.connections ?? 1, 'connections')
  const batchRows = positive(
    options.batchRows ?? (target.onConflict === 'error' ? 50_000 : 10_000),
    'batchRows',
  )
  const total: Totals = { inserted: 0, updated: 0, ignored: 0 }
  // An error in one batch stops those that are under way.
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const running = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | null = null
  const fail = (error: unknown): void => {
    failure ??= { error }
  }
  let collector: Collector | null = null
  /** What was collected goes out as soon as a connection is free. */
  const send = async (): Promise<void> => {
    while (running.size >= connections) await Promise.race(running)
    if (failure !== null || collector === null) return
    const sent = collector
    collector = null
    const work = target
      .commit(sent, signal)
      .then(
        (counts) => addCounts(total, counts),
        (error: unknown) => {
          fail(error)
          stop.abort()
        },
      )
      .finally(() => {
        sent.release()
        running.delete(work)
      })
    running.add(work)
  }
  try {
    let index = 0
    // A promise per row would cost a plain iterable more than encoding the row does.
    const isAsync = Symbol.asyncIterator in rows
    const iterator = isAsync ? rows[Symbol.asyncIterator]() : rows[Symbol.iterator]()
    let isOpen = true
    try {
      while (failure === null) {
        const next = isAsync ? await iterator.next() : (iterator.next() as IteratorResult<unknown>)
        if (next.done) {
          isOpen = false
          break
        }
        if (signal.aborted) throw new TidemarkError('TM_CANCELLED', { what: `writing ${definition.name}` })
        collector ??= await target.open(batchRows)
        if (!collector.addObject(next.value, index)) {
          await send()
          if (failure !== null) break
          collector = await target.open(batchRows)
          collector.addObject(next.value, index)
        }
        index += 1
        if (collector.isFull) await send()
        // Rows that are there without waiting would keep the sockets of the batches under way from being served.
        else if ((index & 0x3ff) === 0 && running.size > 0) await nextTurn()
      }
    } finally {
      if (isOpen) await iterator.return?.()
    }
    await send()
  } catch (error) {
    fail(error)
  }
  // A closure set them: the compiler does not see that.
  ;(collector as Collector | null)?.release()
  await Promise.all(running)
  const failed = failure as { readonly error: unknown } | null
  if (failed === null) return total
  const rowsIn = total.inserted + total.updated + total.ignored + (total.merged ?? 0)
  if (rowsIn === 0) throw failed.error
  const problem = failed.error instanceof Error ? failed.error.message : String(failed.error)
  throw new TidemarkError(
    'TM_PARTIAL_WRITE',
    { table: definition.name, rows: rowsIn, problem },
    { cause: failed.error },
  )
}
