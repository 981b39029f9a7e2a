/** `pg_snapshot` as text, read: `xmin:xmax:xip,xip`. */
export interface SnapshotPlace {
  readonly text: string
  /** The first number that had not been given out. */
  readonly xmax: bigint
  /** Numbers below it whose transactions ran. */
  readonly running: ReadonlySet<bigint>
}

/** @example readSnapshotPlace('10:14:10,12') */
export function readSnapshotPlace(text: string): SnapshotPlace {
  const [, xmax, running] = text.split(':') as [string, string, string]
  return { text, xmax: BigInt(xmax), running: new Set(running === '' ? [] : running.split(',').map(BigInt)) }
}

/**
 * Whether `snapshot` sees every transaction that `earlier` sees. Of two snapshots of one primary that is so in one direction at
 * least: they are taken, and transactions end, one after the other.
 */
export function seesAllOf(snapshot: SnapshotPlace, earlier: SnapshotPlace): boolean {
  if (snapshot.text === earlier.text) return true
  if (snapshot.xmax < earlier.xmax) {
    // numbers in between had been given out, and none of them may have ended
    if (earlier.xmax - snapshot.xmax > BigInt(earlier.running.size)) return false
    for (let xid = snapshot.xmax; xid < earlier.xmax; xid++) if (!earlier.running.has(xid)) return false
  }
  for (const xid of snapshot.running) if (xid < earlier.xmax && !earlier.running.has(xid)) return false
  return true
}
