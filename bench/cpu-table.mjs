// The table of the TSBS cpu-only set, declared and as plain SQL.
import { t } from '../dist/index.js'
import { usages } from './tsbs.mjs'

export const cpuColumns = Object.freeze({
  time: t.timestamptz(),
  hostname: t.text(),
  ...Object.fromEntries(usages.map((name) => [name, t.float8()])),
})

/** Columns of a plain table that holds the same. */
export const cpuColumnsSql = [
  'time timestamptz not null',
  'hostname text not null',
  ...usages.map((name) => `${name} float8 not null`),
].join(', ')

/** A plain table with the indexes that the hypertables of the cases have. */
export function plainTableSql(name, indexes = ['(hostname, time)', '(time)']) {
  const made = indexes.map((columns) => `create index on ${name} ${columns}`)
  return [`create table ${name} (${cpuColumnsSql})`, ...made].join('; ')
}

/** A row as an object, from `tsbsRows`; the time is microseconds. */
export function toObject([ms, hostname, values]) {
  const row = { time: new Date(ms), hostname }
  for (let i = 0; i < usages.length; i++) row[usages[i]] = values[i]
  return row
}
