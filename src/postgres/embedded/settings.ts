import { statfsSync } from 'node:fs'
import { totalmem } from 'node:os'

const mib = 1024 * 1024

/** What the machine has to offer; an argument so that the choice can be tested. */
export interface Machine {
  readonly memoryBytes: number
  /** Size of /dev/shm, or null where there is none. */
  readonly sharedMemoryBytes: number | null
  readonly platform: string
}

export function thisMachine(): Machine {
  // 0 or more than there is: no limit by a container.
  const limit = process.constrainedMemory?.() ?? 0
  const total = totalmem()
  return {
    memoryBytes: limit > 0 && limit < total ? limit : total,
    sharedMemoryBytes: sizeOf('/dev/shm'),
    platform: process.platform,
  }
}

function sizeOf(path: string): number | null {
  try {
    const { blocks, bsize } = statfsSync(path)
    return blocks * bsize
  } catch {
    return null
  }
}

/**
 * Settings for a database that shares its machine with the process that started it. Written anew at each start to
 * `tidemark.conf`, which `postgresql.conf` includes; ALTER SYSTEM is read later and wins.
 */
export function settingsFor(machine: Machine): Readonly<Record<string, string>> {
  const share = (part: number, least: number, most: number): string =>
    `${Math.round(Math.min(most, Math.max(least, machine.memoryBytes / mib / part)))}MB`
  return {
    // An eighth: the other half of the cache is the operating system's, and DuckDB and Node want memory too.
    shared_buffers: share(8, 64, 2048),
    effective_cache_size: share(2, 256, 65536),
    work_mem: share(256, 4, 64),
    maintenance_work_mem: share(16, 64, 1024),
    // Docker's default of 64 MB breaks parallel queries; then their memory is made of files in the data directory.
    ...(machine.sharedMemoryBytes !== null && machine.sharedMemoryBytes < 256 * mib
      ? { dynamic_shared_memory_type: 'mmap' }
      : {}),
    // What is acknowledged is on disk.
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    // Without it macOS only hands the data to the drive's cache.
    ...(machine.platform === 'darwin' ? { wal_sync_method: 'fsync_writethrough' } : {}),
    wal_level: 'logical',
    max_wal_senders: '10',
    max_replication_slots: '10',
    max_wal_size: '2GB',
    min_wal_size: '256MB',
    checkpoint_timeout: '15min',
    checkpoint_completion_target: '0.9',
    // Tidemark prepares no transactions, and a forgotten one holds vacuum and the change log back for ever.
    max_prepared_transactions: '0',
    // A hypertable has up to 200 chunks with several indexes each, and a query may lock them all.
    max_locks_per_transaction: '256',
    max_connections: '100',
    random_page_cost: '1.1',
    // Compiling costs more than most queries here take.
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    // Seven files, one for each day of the week.
    logging_collector: 'on',
    log_directory: 'log',
    log_filename: 'postgresql-%u.log',
    log_rotation_age: '1d',
    log_rotation_size: '0',
    log_truncate_on_rotation: 'on',
    log_min_messages: 'warning',
    log_line_prefix: '%m [%p] %a ',
  }
}

/** As `tidemark.conf`. */
export function formatSettings(settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`)
  return [
    '# Written by tidemark at every start: changes here are lost. Use ALTER SYSTEM instead.',
    ...lines,
    '',
  ].join('\n')
}
