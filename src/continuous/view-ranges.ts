import { timestamptzText } from '../changelog/index.ts'
import { text } from '../migrate/index.ts'
import type { Materialization } from '../query/index.ts'
import { type BucketSpec, fixedBucket, floorDivide, resolveZone } from '../time/index.ts'
import { identifier, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'

/** Hundreds of years back: `date_bin` of a time before its origin was one bin off in PostgreSQL 15.0-15.5. */
const earlyOrigin = -10_000_000_000_000_000n

/**
 * What is computed from rows, looked up once for a statement: ranges that are not valid. Who may not read the cells computes
 * everything.
 */
export function liveRanges({ base, bucket }: Materialization, relation: string): Sql {
  const name = raw(quoteLiteral(text(identifier(base.schema, base.table))))
  const origin = originOf(bucket)
  return sql`(
    select case tidemark.readable_cells(${name}::regclass, ${base.tenant})
      when 'none' then '{[-infinity,infinity)}'::tstzmultirange
      else tidemark.aggregate_live_ranges(${relation}, ${widthOf(bucket)}, ${zoneOf(bucket)}, ${origin ?? raw('null')})
    end
  )`
}

/** The bucket of a row: arithmetic, where no calendar and no zone is asked for. */
export function bucketSql(bucket: BucketSpec, time: Sql): Sql {
  const origin = originOf(bucket)
  if (origin !== null) return sql`date_bin(${widthOf(bucket)}, ${time}, ${origin})`
  return sql`tidemark.bucket_start(${widthOf(bucket)}, ${zoneOf(bucket)}, ${time})`
}

function widthOf(bucket: BucketSpec): Sql {
  const fixed = fixedBucket(bucket)
  const { every } = bucket
  if (fixed) return sql`${`${fixed.width} microseconds`}::interval`
  // a day of 24 hours is one of the calendar in a zone
  return every.kind === 'fixed'
    ? sql`${`${every.micros} microseconds`}::interval`
    : sql`${`${every.months} months ${every.days} days`}::interval`
}

function originOf(bucket: BucketSpec): Sql | null {
  const fixed = fixedBucket(bucket)
  if (fixed === null) return null
  const origin = fixed.origin + floorDivide(earlyOrigin - fixed.origin, fixed.width) * fixed.width
  return sql`${timestamptzText(origin)}::timestamptz`
}

/** As PostgreSQL names it; `+05:30` would be west of Greenwich there. */
function zoneOf({ zone }: BucketSpec): string {
  const { name, fixedOffset } = resolveZone(zone)
  if (fixedOffset === null) return name
  const minutes = Math.abs(fixedOffset) / 60
  const clock = [Math.floor(minutes / 60), minutes % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
  return fixedOffset === 0 ? 'UTC' : `<local>${fixedOffset > 0 ? '-' : ''}${clock}`
}
