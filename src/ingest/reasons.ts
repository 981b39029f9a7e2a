/**
 * Why a row became a dead letter. The codes are stored and counted; docs/guide/import.md explains each with its way
 * out, and a test keeps that list complete.
 */
export const deadReasons = {
  empty: 'every field of the row is empty',
  fields: 'the row has more or fewer fields than the header',
  quote: 'a quoted field is not closed, or text follows its closing quote',
  encoding: 'the row holds bytes that are not UTF-8',
  too_long: 'the row is longer than maxRecordBytes',
  json: 'the line is not one JSON object',
  log_line: 'the line does not have the form of the log',
  null: 'a column that must have a value has none',
  type: 'the value cannot be read as the type of its column',
  range: 'the value is outside the range of its column',
  time: 'the time does not have the stated format, or does not exist',
  time_zone: 'the time has no zone and none was given',
  nul: 'the value holds the character NUL, which PostgreSQL cannot store',
  expired: 'retention has dropped the rows of that time',
  constraint: 'a constraint of the table refused the row',
  column: 'the row has a field that is no column of the table',
  duplicate_key: 'a row with the same key exists',
  tenant: 'the row is of another tenant than its caller',
  refused: 'PostgreSQL refused the row for what its message says',
} as const

export type DeadReason = keyof typeof deadReasons
