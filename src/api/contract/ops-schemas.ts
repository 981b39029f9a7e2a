import Type from 'typebox'

/** What routes of operations say and take. The same for programs: src/client/operation-types.ts. */

const Time = Type.String({ format: 'date-time' })
const Count = Type.Integer({ minimum: 0 })
const Bytes = Type.Number({ description: 'Bytes.' })
const Ms = Type.Number({ description: 'Milliseconds.' })
const orNull = <T extends Type.TSchema>(schema: T, description?: string) =>
  Type.Union([schema, Type.Null()], description === undefined ? {} : { description })
const oneOf = <const T extends readonly string[]>(...words: T) =>
  Type.Enum<[...T]>(words as unknown as [...T])
const Row = Type.Record(Type.String(), Type.Unknown())

const NextAct = Type.Object({
  act: oneOf('freeze', 'drop', 'compact'),
  at: Type.String({ description: 'From when on it may be done.' }),
  waitsFor: orNull(Type.String(), 'Why it was not done although that is over; null: nothing is in the way.'),
})

const StoredChunk = Type.Object({
  id: Type.String(),
  from: Time,
  to: Time,
  state: oneOf('hot', 'freezing', 'cold', 'delta'),
  isMoving: Type.Boolean({ description: 'Somebody moves its rows at this moment.' }),
  rows: Type.Number({ description: 'In PostgreSQL (an estimate) and in the lake.' }),
  hotRows: Type.Number(),
  bytes: Bytes,
  coldBytes: Bytes,
  files: Count,
  deletedRows: Type.Number(),
  bytesBefore: orNull(Bytes),
  frozenAt: orNull(Time),
  error: orNull(Type.String()),
  failures: Count,
  next: orNull(NextAct, 'What will be done with it by itself.'),
})

export const StorageAnswer = Type.Object(
  {
    now: Time,
    lake: Type.Object({
      store: Type.String(),
      files: Count,
      bytes: Bytes,
      freeBytes: Bytes,
      trash: Type.Object({ files: Count, bytes: Bytes }),
    }),
    databaseBytes: Bytes,
    datasets: Type.Array(
      Type.Object({
        name: Type.String(),
        kind: oneOf('hypertable', 'table'),
        exists: Type.Boolean(),
        rows: Type.Number(),
        bytes: Type.Object({ rows: Bytes, indexes: Bytes, lake: Bytes }),
        ratio: orNull(Type.Number(), 'How many times smaller the cold chunks are than they were.'),
        freezeAfter: orNull(Type.String()),
        retain: orNull(Type.String()),
        defaultPartitionHasRows: Type.Boolean(),
        chunks: Type.Array(StoredChunk),
      }),
    ),
  },
  { $id: 'Storage', title: 'Storage' },
)

export const GrowthAnswer = Type.Object(
  {
    samples: Type.Array(
      Type.Object({
        at: Time,
        dataset: Type.String(),
        hotRows: Type.Number(),
        hotBytes: Bytes,
        coldRows: Type.Number(),
        coldBytes: Bytes,
      }),
    ),
  },
  { $id: 'StorageGrowth', title: 'StorageGrowth' },
)

const OperationKind = oneOf('freeze', 'thaw', 'compact', 'verify', 'refresh', 'sweep')
const ChunkIds = Type.Array(Type.String(), { maxItems: 1000, description: 'Ids, as in /api/v1/storage.' })

export const OperationBody = Type.Object(
  {
    kind: OperationKind,
    dataset: Type.Optional(
      Type.String({ description: 'A hypertable; of `refresh` a continuous aggregate; of `sweep` none.' }),
    ),
    chunks: Type.Optional(ChunkIds),
    from: Type.Optional(
      Type.String({
        description: 'Chunks wholly in the range; of `refresh` buckets that are computed anew.',
      }),
    ),
    to: Type.Optional(Type.String()),
    all: Type.Optional(Type.Boolean({ description: 'Every chunk.' })),
  },
  { $id: 'OperationBody', title: 'OperationBody', additionalProperties: false },
)

export const OperationAnswer = Type.Object(
  {
    id: Type.String(),
    kind: OperationKind,
    dataset: orNull(Type.String()),
    chunks: orNull(Type.Array(Type.String())),
    from: orNull(Type.String()),
    to: orNull(Type.String()),
    state: oneOf('running', 'done', 'failed', 'cancelled'),
    progress: orNull(
      Type.Object({
        done: Type.Number(),
        total: orNull(Type.Number()),
        unit: oneOf('chunks', 'files', 'percent'),
        text: Type.String(),
        secondsLeft: orNull(Type.Number()),
      }),
    ),
    startedAt: Time,
    endedAt: orNull(Time),
    report: orNull(
      Type.Object(
        { text: Type.String() },
        { additionalProperties: true, description: 'What it came to, by its kind; `text` is for people.' },
      ),
    ),
    error: orNull(Type.Object({ code: Type.String(), message: Type.String() })),
    by: Type.String(),
  },
  { $id: 'Operation', title: 'Operation' },
)

export const OperationList = Type.Object(
  { operations: Type.Array(OperationAnswer) },
  { $id: 'OperationList', title: 'OperationList' },
)

export const AggregateList = Type.Object(
  {
    aggregates: Type.Array(
      Type.Object({
        name: Type.String(),
        from: Type.String({ description: 'What it is computed of.' }),
        bucket: Type.String(),
        versions: Type.Array(
          Type.Object({ version: Type.Integer(), state: oneOf('building', 'current'), createdAt: Time }),
        ),
        watermark: orNull(Time, 'Cells are valid up to here, but for `open`.'),
        lagMs: orNull(Ms),
        open: Type.Object({
          entries: Count,
          count: Count,
          ranges: Type.Array(Type.Object({ from: Type.String(), to: Type.String() })),
        }),
        cells: Type.Number(),
        bytes: Bytes,
        retain: orNull(Type.String()),
        refreshEveryMs: Ms,
        lastRefresh: orNull(
          Type.Object({
            at: Time,
            ms: orNull(Ms),
            rows: orNull(Type.Number()),
            cells: orNull(Type.Number()),
          }),
        ),
        nextRefresh: orNull(Time),
        error: orNull(Type.String()),
        failures: Count,
        building: orNull(
          Type.Object({ done: Ms, total: Ms }, { description: 'ms of its time that are valid.' }),
        ),
        unknownBefore: orNull(Time),
        isDeclared: Type.Boolean(),
        usedBy: Type.Object({
          queries: Count,
          lastAt: orNull(Time),
          recent: Type.Array(
            Type.Object({ at: Time, dataset: Type.String(), summary: Type.String(), ms: Ms }),
          ),
        }),
      }),
    ),
  },
  { $id: 'AggregateList', title: 'AggregateList' },
)

export const JobList = Type.Object(
  {
    jobs: Type.Array(
      Type.Object({
        name: Type.String(),
        job: Type.String(),
        dataset: orNull(Type.String()),
        everyMs: orNull(Ms, 'From the end of a run to the next; null: it is declared no more.'),
        isRunning: Type.Boolean(),
        lastStartedAt: orNull(Time),
        lastFinishedAt: orNull(Time),
        lastMs: orNull(Ms),
        lastResult: orNull(Row),
        nextAt: orNull(Time),
        runs: Count,
        failures: Count,
        failuresInARow: Count,
        lastError: orNull(Type.String()),
        waitsFor: orNull(Type.String(), 'Why it does not run although it is due.'),
        advice: orNull(Type.String(), 'What to do.'),
      }),
    ),
    workers: Type.Array(
      Type.Object({
        id: Type.String(),
        host: Type.String(),
        processId: Type.Integer(),
        startedAt: Time,
        seenAt: Time,
        isAlive: Type.Boolean(),
        running: orNull(Type.String()),
      }),
    ),
  },
  { $id: 'JobList', title: 'JobList' },
)

const LetterState = oneOf('refused', 'corrected', 'unreadable')
const letter = {
  id: Type.String(),
  dataset: Type.String(),
  tenant: orNull(Type.String(), 'On whose behalf it came; null: for every tenant.'),
  at: Time,
  reason: Type.String(),
  column: orNull(Type.String()),
  value: orNull(Type.String()),
  message: Type.String(),
  row: Type.Unknown({ description: 'As it came: the row, or the text where it is none.' }),
  source: Type.String({ description: 'The file of an import, or the way in.' }),
  line: Type.Integer(),
  state: LetterState,
}
const filter = {
  dataset: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
  column: Type.Optional(Type.String()),
  text: Type.Optional(Type.String({ description: 'Somewhere in its row, its value or its message.' })),
  state: Type.Optional(LetterState),
}

export const DeadLetterQuery = Type.Object({
  ...filter,
  before: Type.Optional(Type.String({ description: '`next` of the page before.' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, description: 'Default 100.' })),
})

export const DeadLetterPage = Type.Object(
  {
    letters: Type.Array(Type.Object(letter)),
    groups: Type.Array(
      Type.Object({
        dataset: Type.String(),
        reason: Type.String(),
        column: orNull(Type.String()),
        rows: Count,
      }),
      { description: 'All that match, counted; of the first page.' },
    ),
    next: orNull(Type.String(), '`before` of the next page; null: there is none.'),
  },
  { $id: 'DeadLetterPage', title: 'DeadLetterPage' },
)

export const ExplainedLetter = Type.Object(
  {
    ...letter,
    problems: Type.Array(
      Type.Object({ column: orNull(Type.String()), value: Type.String(), problem: Type.String() }),
    ),
    allowed: Type.Array(Type.String(), { description: 'What the columns to blame take.' }),
    todo: Type.String(),
    canReplay: Type.Boolean(),
  },
  { $id: 'ExplainedDeadLetter', title: 'ExplainedDeadLetter' },
)

export const LetterChange = Type.Object(
  { row: Row },
  { $id: 'DeadLetterChange', title: 'DeadLetterChange', additionalProperties: false },
)

const choice = {
  ids: Type.Optional(Type.Array(Type.String(), { maxItems: 10_000 })),
  filter: Type.Optional(
    Type.Object(
      {
        ...filter,
        all: Type.Optional(Type.Boolean({ description: 'Every letter; said, so that it is meant.' })),
      },
      { additionalProperties: false },
    ),
  ),
}

export const LetterChoice = Type.Object(choice, {
  $id: 'DeadLetterChoice',
  title: 'DeadLetterChoice',
  additionalProperties: false,
})

export const LetterReplay = Type.Object(
  { ...choice, onConflict: Type.Optional(oneOf('error', 'ignore', 'update')) },
  { $id: 'DeadLetterReplayBody', title: 'DeadLetterReplayBody', additionalProperties: false },
)

export const LetterReplayAnswer = Type.Object(
  {
    replayed: Count,
    inserted: Count,
    updated: Count,
    ignored: Count,
    merged: Count,
    duplicates: Count,
    rejected: Type.Object({
      count: Count,
      letters: Type.Array(
        Type.Object({
          id: Type.String(),
          column: orNull(Type.String()),
          value: orNull(Type.String()),
          reason: Type.String(),
          message: Type.String(),
        }),
      ),
    }),
    unreadable: Type.Record(Type.String(), Type.Integer(), { description: 'How many hold no row, by why.' }),
  },
  { $id: 'DeadLetterReplay', title: 'DeadLetterReplay' },
)

export const LettersDeleted = Type.Object(
  { deleted: Count },
  { $id: 'LettersDeleted', title: 'LettersDeleted' },
)
