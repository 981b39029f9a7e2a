import { TidemarkError } from '../../../util/errors.ts'
import { identifier, sql } from '../../../util/sql.ts'
import { chunkSchema, relationName, text } from '../../table-ddl.ts'
import { isLockProblem } from '../../transaction.ts'
import { findCatalogBlockers } from '../blockers.ts'
import { queueLength } from '../queue.ts'
import { advance, type Conversion, conversionNames } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import { shadowIndexes } from '../shadow.ts'
import { waitForOlderSnapshots } from '../snapshots.ts'
import { readSource, type Source } from '../source.ts'
import { lockAllStatement, lockWritersStatement, swap } from '../swap.ts'
import { followQueue } from './follow-queue.ts'
import { createIndexes } from './index-shadow.ts'
import { verifyCopy } from './verify.ts'

export async function catchUpAndSwap(run: ConversionRun, conversion: Conversion): Promise<void> {
  let isVerified = !run.settings.verify
  const end = Date.now() + run.settings.patienceMs
  for (let pauseMs = 50; ; pauseMs = Math.min(2_000, pauseMs * 2)) {
    run.assertGoing()
    run.tell('catching up')
    const source = await run.unchangedSource(conversion)
    await createIndexes(run, conversion, source)
    await catchUpUntilNear(run, conversion, source)
    if (!isVerified) await verifyCopy(run, conversion, source)
    isVerified = true
    // Without a lock, so that the wait under the lock is short: who is older than the rows just written ends here.
    const waits = await waitForOlderSnapshots(run.db, {
      settleMs: Math.max(run.settings.settleMs, pauseMs),
      besides: null,
      signal: run.signal,
    })
    let reason: string | null = waits[0] ? `${waits[0].description} has an older snapshot` : null
    if (reason === null) {
      await followQueue(run, run.connection, conversion, source)
      run.tell('swapping')
      reason = await trySwap(run, conversion)
      if (reason === null) return
    }
    run.tell('swapping', reason)
    if (Date.now() >= end)
      throw new TidemarkError('TM_BUSY', {
        what: `swapping ${run.definition.name}`,
        tries: run.swapTries,
        lastProblem: reason,
      })
    await run.pause(pauseMs)
  }
}

async function catchUpUntilNear(run: ConversionRun, conversion: Conversion, source: Source): Promise<void> {
  for (let pass = 1; pass <= 20; pass += 1) {
    const entries = await followQueue(run, run.connection, conversion, source)
    if (entries <= nearEntries) return
    run.tell('catching up')
  }
}

/** Null when done, else why not. */
async function trySwap(run: ConversionRun, conversion: Conversion): Promise<string | null> {
  run.swapTries += 1
  const connection = run.connection
  const started = performance.now()
  let lockedAll = started
  try {
    const reason = await run.transaction(async () => {
      const source = await readSource(connection, run.definition)
      await connection.execute(lockWritersStatement(run.definition, source))
      const lockedWriters = performance.now()
      // On a connection of its own: it has to be committed, and this one keeps its lock.
      await run.db.withConnection((other) => followQueue(run, other, conversion, source))
      const older = await waitForOlderSnapshots(run.db, {
        settleMs: run.settings.settleMs,
        besides: conversion.sourceOid,
        signal: run.signal,
      })
      if (older[0]) throw new NotNow(`${older[0].description} has an older snapshot`)
      await connection.execute(lockAllStatement(run.definition))
      lockedAll = performance.now()
      const now = await readSource(connection, run.definition)
      await assertConvertible(run, conversion, now)
      await swap(connection, conversion, run.definition, now)
      await advance(connection, conversion, 'finishing')
      return lockedWriters
    })
    run.writersHeldMs = performance.now() - reason
    run.readersHeldMs = performance.now() - lockedAll
    return null
  } catch (error) {
    if (error instanceof NotNow) return error.message
    if (isLockProblem(error)) return run.describeLocks()
    throw error
  }
}

async function assertConvertible(run: ConversionRun, conversion: Conversion, source: Source): Promise<void> {
  const blockers = await findCatalogBlockers(run.connection, run.definition, source)
  if (blockers.length > 0) {
    throw new TidemarkError('TM_MIGRATION', {
      problem:
        `since its conversion began, something has changed that ${run.definition.name} cannot be swapped with:\n` +
        blockers.map((problem) => `  - ${problem}`).join('\n'),
      todo: 'settle these and migrate again: the conversion goes on',
    })
  }
  const missing = await run.connection.query(sql`
    select count(*)::int4 from unnest(
      ${shadowIndexes(conversion, run.definition, source).map((index) => text(identifier(chunkSchema, index.name)))}::text[]
    ) as name
    where to_regclass(name) is null`)
  if (missing.rows[0]![0] !== 0) throw new NotNow('an index that was created meanwhile')
  if ((await queueLength(run.connection, conversion)) === 0n) return
  const time = identifier(run.definition.time)
  const { rows } = await run.connection.query(sql`
    select count(*)
    from ${relationName(run.definition)}
    where ${time} is null or ${time} in ('infinity', '-infinity')`)
  if ((rows[0]![0] as bigint) > 0n)
    throw new TidemarkError('TM_MIGRATION', {
      problem: `${rows[0]![0]} rows without a place in time ("${run.definition.time}" is null or infinite) were written during the conversion`,
      todo: 'correct or delete them and migrate again: the conversion goes on',
    })
  // They came and went: no trace of them is in the source, and none gets into the shadow.
  const { rows: left } = await run.connection.query(sql`
    select count(*) from ${conversionNames(conversion).queue} where isfinite(${time})`)
  if ((left[0]![0] as bigint) > 0n) throw new NotNow('rows that were written meanwhile')
}

/** So few entries are caught up with in a moment, also while writers wait. */
const nearEntries = 1_000n

/** The swap has to be tried again later. */
class NotNow extends Error {}
