/**
 * The registry of every error that Tidemark raises on purpose. `docs/reference/errors.md` is made from it and a test
 * keeps the two equal. An error that is not in here never leaves the HTTP server with its text.
 */
export interface ErrorDefinition<P> {
  /** HTTP status that the server answers with. */
  readonly status: number
  /** Whether the same call may succeed later without a change by the caller. */
  readonly retryable: boolean
  /** One sentence for the reference: when it is raised. */
  readonly when: string
  /** One sentence for the reference: what to do about it. */
  readonly todo: string
  /** The message: what was wrong, where, the value, the limit, and the way out. */
  readonly message: (params: P) => string
}

function define<P>(
  status: number,
  retryable: boolean,
  when: string,
  todo: string,
  message: (params: P) => string,
): ErrorDefinition<P> {
  return Object.freeze({ status, retryable, when, todo, message })
}

type Problem = { readonly path: string; readonly problem: string }

export const errorRegistry = {
  // declaring
  TM_DECLARATION: define<Problem>(
    400,
    false,
    'A declared table, column or policy cannot be kept as it is written.',
    'Correct the declaration at the path that the message names.',
    (p) => `${p.path}: ${p.problem}`,
  ),
  TM_CONFIG: define<Problem>(
    400,
    false,
    'An option or the configuration file is wrong or missing.',
    'Correct the option that the message names.',
    (p) => `${p.path}: ${p.problem}`,
  ),
  // asking
  TM_QUERY: define<Problem>(
    400,
    false,
    'A query names something that does not exist or cannot be answered as asked.',
    'Correct the part of the query that the path names.',
    (p) => `${p.path}: ${p.problem}`,
  ),
  TM_UNKNOWN_DATASET: define<{ name: string; known: readonly string[] }>(
    404,
    false,
    'The dataset is not part of the configuration.',
    'Use one of the declared names, or declare it and migrate.',
    (p) => `dataset "${p.name}" is not declared; declared: ${p.known.length ? p.known.join(', ') : 'none'}`,
  ),
  TM_LIMIT: define<{ what: string; value: string; limit: string; todo: string }>(
    413,
    false,
    'A stated limit (rows, cells, bytes, range) would be exceeded.',
    'Ask for less, or raise the limit that the message names.',
    (p) => `${p.what} is ${p.value}, over the limit of ${p.limit}; ${p.todo}`,
  ),
  TM_TIMEOUT: define<{ what: string; limitMs: number; todo?: string }>(
    504,
    true,
    'A call took longer than its time limit and was cancelled in the database too.',
    'Ask for less, or raise the time limit.',
    (p) => `${p.what} took longer than ${p.limitMs} ms and was cancelled${p.todo ? `; ${p.todo}` : ''}`,
  ),
  TM_CANCELLED: define<{
    what: string /** How to go on, where something was done already. */
    todo?: string
  }>(
    499,
    true,
    'The caller cancelled the call through its signal.',
    'Nothing: this is the answer to an abort.',
    (p) => `${p.what} was cancelled by its caller${p.todo ? `; ${p.todo}` : ''}`,
  ),
  // writing
  TM_ROW: define<{
    row: number
    /** null: the row as a whole. */
    column: string | null
    value: string
    problem: string
  }>(
    422,
    false,
    'A row does not fit its table. Nothing of the call was written.',
    'Correct the value at the row and column that the message names.',
    (p) =>
      p.column === null
        ? `row ${p.row} (${p.value}): ${p.problem}`
        : `row ${p.row}, column "${p.column}", value ${p.value}: ${p.problem}`,
  ),
  TM_DUPLICATE_KEY: define<{ table: string; detail: string }>(
    409,
    false,
    'A row with the same key exists. Nothing of the call was written.',
    'Use upsert, or say onConflict: "ignore".',
    (p) => `${p.table}: ${p.detail}; use upsert, or onConflict: "ignore"`,
  ),
  TM_CONSTRAINT: define<{ table: string; constraint: string; detail: string }>(
    409,
    false,
    'PostgreSQL refused a write because of a constraint of the table. Nothing of the call was written.',
    'Correct the rows so that the constraint holds.',
    (p) => `${p.table}: constraint "${p.constraint}" refused the write: ${p.detail}`,
  ),
  TM_APPEND_ONLY: define<{ table: string }>(
    409,
    false,
    'An update, delete or truncate reached an append-only table.',
    'Insert a correcting row instead; the table was declared appendOnly.',
    (p) => `${p.table} is append-only: rows may be inserted, never changed or deleted`,
  ),
  TM_CHUNK_CAP: define<{ table: string; needed: number; cap: number }>(
    409,
    false,
    'A write would need more attached chunks than the table may have.',
    'Declare a longer chunk interval or raise maxChunks.',
    (p) =>
      `${p.table}: the rows need ${p.needed} attached chunks, over the cap of ${p.cap}; ` +
      'declare a longer chunk interval, or raise maxChunks',
  ),
  TM_EXPIRED: define<{ table: string; what: string; from: string; to: string; todo?: string }>(
    409,
    false,
    'A write reaches into time of which retention has dropped the rows. Nothing of the call was written.',
    "Leave out what is older than the retention, or declare late: 'merge', so that continuous aggregates count it.",
    (p) =>
      `${p.table}: ${p.what}, but retention has dropped the rows from ${p.from} to ${p.to}; ` +
      `${p.todo ?? "leave it out, declare late: 'merge', or import --cold a file of all rows of that time"}`,
  ),
  TM_OVERLOADED: define<{ problem: string; limit: string; retryAfterSeconds: number }>(
    503,
    true,
    'Rows come faster than they can be written, and what may wait is waiting. Nothing of the call was written.',
    'Send the same again after the stated seconds; with an idempotency key or event ids nothing is doubled.',
    (p) => `${p.problem} (limit: ${p.limit}); try again in ${p.retryAfterSeconds} s`,
  ),
  TM_LIVE_LIMIT: define<{ problem: string; limit: string }>(
    429,
    true,
    'As many live subscriptions, questions or bytes of live answers are held as may be.',
    'End subscriptions that nobody looks at, ask for smaller answers, or try again later.',
    (p) => `no further live answer can be held: ${p.problem} (limit: ${p.limit})`,
  ),
  TM_SLOW_READER: define<{ limitMs: number }>(
    408,
    true,
    'A subscription was ended, because its reader did not take what had been sent while more had to be told.',
    'Subscribe again with the last resume token; acknowledge messages as they come.',
    (p) => `what was sent was not taken within ${p.limitMs} ms; subscribe again with the last resume token`,
  ),
  TM_REJECTED: define<{ table: string; count: number; first: string; rows: readonly unknown[] }>(
    422,
    false,
    'None of the rows of a request was taken. They are kept as dead letters.',
    'Correct the rows as `params.rows` says for each of them (the first 100), and send them again.',
    (p) => `none of the ${p.count} rows for ${p.table} was taken; the first: ${p.first}`,
  ),
  TM_IDEMPOTENCY: define<{ table: string; key: string }>(
    409,
    false,
    'An idempotency key came a second time, with other rows.',
    'Use a new key for other rows; repeat the same rows, in the same order, with the same key.',
    (p) =>
      `idempotency key "${p.key}" of ${p.table} belongs to a batch with other rows; nothing was written, use a new key`,
  ),
  TM_TENANT: define<{ table: string; problem: string; todo: string }>(
    403,
    false,
    "A write would make or change rows of another tenant than its caller's, or its caller has none. Nothing of the call was written.",
    'Leave the tenant out of rows and changes: it is filled in.',
    (p) => `${p.table}: ${p.problem}; ${p.todo}`,
  ),
  TM_PARTIAL_WRITE: define<{ table: string; rows: number; problem: string }>(
    422,
    false,
    'Rows from a stream could not all be written, after some batches had been committed.',
    'Correct what the message says and go on behind the rows that are in; upsert makes a repetition harmless.',
    (p) => `${p.table}: ${p.rows} rows are committed, the rest is not: ${p.problem}`,
  ),
  TM_NOT_FOUND: define<{ table: string; key: string }>(
    404,
    false,
    'There is no row of that key, or it is none of the caller.',
    'Look at the key; docs/guide/records.md says how it is written.',
    (p) => `${p.table} has no row with the key ${p.key}`,
  ),
  TM_VERSION: define<{
    table: string
    key: string
    /** null: there is no row. */
    current: string | null
  }>(
    412,
    false,
    'The row is not, or no more, the version that the write was made for, or it exists where it was to be new. Nothing of the call was written.',
    'Read the row again, make the change on what it is now, and send it with the version of then.',
    (p) =>
      p.current === null
        ? `${p.table}: there is no row with the key ${p.key}, so it has no version that was asked for`
        : `${p.table}: the row with the key ${p.key} has the version "${p.current}", which is not what was asked for`,
  ),
  TM_VERSION_REQUIRED: define<{ table: string }>(
    428,
    false,
    'A write of a row does not say for which version of it, and `records.requireVersion` of the configuration demands that.',
    'Send `If-Match` with the ETag that the row was read with, or `If-None-Match: *` for a row that is to be new.',
    (p) => `${p.table}: say in If-Match which version of the row this is for ("If-None-Match: *": it is new)`,
  ),
  // the database
  TM_CONNECT: define<{ target: string; problem: string }>(
    503,
    true,
    'PostgreSQL cannot be reached, or does not take the connection now.',
    'Check that the server runs and that DATABASE_URL is right.',
    (p) => `cannot connect to PostgreSQL at ${p.target}: ${p.problem}`,
  ),
  TM_LOGIN: define<{ target: string; problem: string; todo: string }>(
    500,
    false,
    'PostgreSQL refused the login: a wrong user or password, a host that it takes no login from, or no such database.',
    'Correct DATABASE_URL as the message says; trying again as it is does not help.',
    (p) => `PostgreSQL at ${p.target} refused the login: ${p.problem}; ${p.todo}`,
  ),
  TM_POSTGRES_VERSION: define<{ found: string }>(
    500,
    false,
    'The PostgreSQL server has a major version that is not supported.',
    'Use PostgreSQL 15, 16, 17 or 18.',
    (p) => `PostgreSQL ${p.found} is not supported; use 15, 16, 17 or 18`,
  ),
  TM_DATABASE: define<{ sqlstate: string; problem: string }>(
    500,
    false,
    'PostgreSQL answered with an error that has no code of its own here.',
    'Read the SQLSTATE and the text of the message.',
    (p) => `PostgreSQL error ${p.sqlstate}: ${p.problem}`,
  ),
  TM_COMMIT_UNKNOWN: define<{ target: string }>(
    503,
    false,
    'The connection was lost while a transaction, or a statement outside of one, was being committed.',
    'Look whether the rows are there before writing them again; upsert makes a repetition harmless.',
    (p) =>
      `the connection to PostgreSQL at ${p.target} was lost before it answered: it is unknown whether the write ` +
      'was committed; look before you repeat it',
  ),
  TM_BUSY: define<{ what: string; tries: number; lastProblem: string }>(
    503,
    true,
    'Locks or conflicts with other transactions did not go away within the allowed tries.',
    'Try again; look for long open transactions.',
    (p) => `${p.what} could not be done in ${p.tries} tries: ${p.lastProblem}`,
  ),
  TM_READ_ONLY: define<{ what: string; problem: string }>(
    503,
    true,
    'Something was to be written on a server that only reads: a standby, or a primary that has been demoted.',
    'Connect to the primary.',
    (p) =>
      `${p.what} was refused: this server is read-only (a standby, or default_transaction_read_only is on); connect ` +
      `to the primary. PostgreSQL says: ${p.problem}`,
  ),
  // embedded PostgreSQL
  TM_EMBEDDED: define<{ problem: string; todo: string; log?: string }>(
    500,
    false,
    'The embedded PostgreSQL could not be started or stopped.',
    'Do what the message says; it holds the end of the server log.',
    (p) => `embedded PostgreSQL: ${p.problem}; ${p.todo}${p.log ? `\nserver log:\n${p.log}` : ''}`,
  ),
  // migrating
  TM_MIGRATION_DESTRUCTIVE: define<{ table: string; changes: readonly string[] }>(
    409,
    false,
    'The declaration differs from the database in a way that would lose or rewrite data.',
    'Run the SQL that the message shows yourself, if that is what you want, then migrate again.',
    (p) =>
      `${p.table}: the declaration differs in a way that tidemark does not do by itself:\n` +
      p.changes.map((c) => `  ${c}`).join('\n'),
  ),
  TM_MIGRATION: define<{ problem: string; todo: string }>(
    409,
    false,
    'The catalog or a table is in a state that the migration cannot start from.',
    'Do what the message says.',
    (p) => `${p.problem}; ${p.todo}`,
  ),
  // importing
  TM_IMPORT: define<{ file: string; problem: string; todo: string }>(
    422,
    false,
    'A file cannot be imported as asked.',
    'Do what the message says.',
    (p) => `${p.file}: ${p.problem}; ${p.todo}`,
  ),
  // over HTTP
  TM_COLD: define<{ table: string; what: string; todo: string }>(
    409,
    false,
    'A write would touch rows that are in the lake, and this way of writing cannot see them.',
    'Write through the API (tm.upsert, tm.update, tm.delete), or thaw the chunk first.',
    (p) => `${p.what} in ${p.table}: rows of it are in the lake, where SQL does not see them; ${p.todo}`,
  ),
  TM_LAKE: define<{ what: string; problem: string; todo: string }>(
    500,
    true,
    'A file of the lake cannot be written, read or trusted.',
    'Do what the message says; nothing has been lost, rows stay where they were.',
    (p) => `${p.what}: ${p.problem}; ${p.todo}`,
  ),
  TM_SPOOL: define<{ what: string; problem: string; todo: string }>(
    500,
    true,
    'A file of the spool cannot be written, read or trusted.',
    'Do what the message says; what was acknowledged is kept.',
    (p) => `${p.what}: ${p.problem}; ${p.todo}`,
  ),
  TM_AGGREGATE: define<{ aggregate: string; problem: string; todo: string }>(
    409,
    false,
    'A continuous aggregate cannot be refreshed as asked.',
    'Do what the message says; what it answers stays right, only slower.',
    (p) => `${p.aggregate}: ${p.problem}; ${p.todo}`,
  ),
  TM_GAPFILL: define<{ problem: string; todo: string }>(
    422,
    false,
    'A query with time_bucket_gapfill cannot be filled.',
    'Do what the message says, or ask with tm.query({ …, fill }).',
    (p) => `time_bucket_gapfill: ${p.problem}; ${p.todo}`,
  ),
  TM_NO_SQL: define<{ what: string; todo: string }>(
    422,
    false,
    'A query cannot be written as one statement of SQL that gives the same rows.',
    'Do what the message says, or ask with tm.query.',
    (p) => `${p.what} has no form in SQL; ${p.todo}`,
  ),
  TM_BODY: define<{ problem: string; todo: string }>(
    400,
    false,
    'The body of a request cannot be read in the format that its content type names.',
    'Send what the message asks for.',
    (p) => `${p.problem}; ${p.todo}`,
  ),
  TM_BODY_TOO_LARGE: define<{ limitBytes: number }>(
    413,
    false,
    'The body of a request, unpacked, is larger than the server takes.',
    'Send the rows in several requests, or raise bodyLimitBytes.',
    (p) => `the body is larger than ${p.limitBytes} bytes (unpacked); send the rows in several requests`,
  ),
  TM_MEDIA_TYPE: define<{ found: string; allowed: readonly string[] }>(
    415,
    false,
    'The content type or encoding of a request is not one that the route takes.',
    'Send one of the types that the message lists.',
    (p) => `content of type "${p.found}" is not taken here; allowed: ${p.allowed.join(', ')}`,
  ),
  TM_FORBIDDEN: define<{ what: string; todo: string }>(
    403,
    false,
    'The caller is known, and may not do this.',
    'Do what the message says, or ask an administrator for the right.',
    (p) => `${p.what}; ${p.todo}`,
  ),
  TM_UNAUTHORIZED: define<{ problem: string; todo: string }>(
    401,
    false,
    'The caller has not shown who he is, or what he has shown is not, or no longer, good.',
    'Send `Authorization: Bearer` with an API key or a token that is good; docs/guide/access.md.',
    (p) => `${p.problem}; ${p.todo}`,
  ),
  TM_UNKNOWN_REPORT: define<{ name: string; todo: string }>(
    404,
    false,
    'There is no report of that name, or it has given nothing yet.',
    'Look at the list of reports, or run it.',
    (p) => `there is no report "${p.name}" to give; ${p.todo}`,
  ),
  TM_UNKNOWN_BOARD: define<{ id: string }>(
    404,
    false,
    'There is no board, or no panel on it, of that id, or it is none of the caller.',
    'Look at the list of boards.',
    (p) => `there is no board "${p.id}"; look at the list of boards`,
  ),
  TM_UNKNOWN_SHARE: define<{ problem: string; todo: string }>(
    404,
    false,
    'There is no link to a board of that token or id, or it has ended: with its time, its board, or the key of whoever made it.',
    'Do what the message says.',
    (p) => `${p.problem}; ${p.todo}`,
  ),
  TM_RATE_LIMIT: define<{ what: string; limit: string; retryAfterSeconds: number }>(
    429,
    true,
    'More requests came than `server.rateLimit` allows to a key, a tenant or an address. Nothing of the call was done.',
    'Send the same again after the stated seconds, and fewer from then on.',
    (p) => `${p.what}: more than ${p.limit}; try again in ${p.retryAfterSeconds} s`,
  ),
  TM_TOKEN_KEYS: define<{ url: string; problem: string }>(
    503,
    true,
    'The keys that tokens are signed with cannot be fetched, so no token can be checked.',
    'Look at `server.auth.jwt.jwksUrl` and at whether the server reaches it; API keys go on working.',
    (p) => `the keys of tokens cannot be fetched from ${p.url}: ${p.problem}`,
  ),
  TM_UNKNOWN_KEY: define<{ id: string }>(
    404,
    false,
    'There is no API key of that id, or it is of another tenant, or it was revoked.',
    'Look at the list of keys.',
    (p) =>
      `there is no API key "${p.id}" that could be changed; tidemark keys list shows those that are there`,
  ),
  TM_ORIGIN: define<{ origin: string; allowed: readonly string[] }>(
    403,
    false,
    'A page of an origin that is not declared sent events.',
    'Add the origin to `ingest.analytics.origins`, if its pages are yours.',
    (p) =>
      `pages of ${p.origin} may not send events; ingest.analytics.origins allows ${p.allowed.join(', ')}`,
  ),
  TM_ROUTE: define<{ method: string; url: string; todo?: string }>(
    404,
    false,
    'There is no such route, or what it takes is not declared.',
    'Look at /openapi.json for the routes that exist; declare what the message names.',
    (p) => `there is no route ${p.method} ${p.url}; ${p.todo ?? 'see /openapi.json'}`,
  ),
  TM_INTERNAL: define<{ id: string }>(
    500,
    false,
    'Something unexpected happened; the log holds the details under the id.',
    'Report it with the id.',
    (p) => `internal error ${p.id}; the log of the server has the details`,
  ),
} as const

export type ErrorCode = keyof typeof errorRegistry
export type ErrorParams<C extends ErrorCode> = Parameters<(typeof errorRegistry)[C]['message']>[0]

/** Every error that Tidemark raises on purpose. Tell them apart by `code`, never by text. */
export class TidemarkError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'TidemarkError'
  readonly code: C
  readonly params: ErrorParams<C>
  readonly status: number
  readonly retryable: boolean

  constructor(code: C, params: ErrorParams<C>, options?: { cause?: unknown }) {
    const definition = errorRegistry[code] as unknown as ErrorDefinition<ErrorParams<C>>
    super(definition.message(params), options)
    this.code = code
    this.params = params
    this.status = definition.status
    this.retryable = definition.retryable
  }
}

export function isTidemarkError(error: unknown): error is TidemarkError {
  return error instanceof TidemarkError
}
