import Type from 'typebox'

const Time = Type.String({ format: 'date-time' })
const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const Schedule = Type.Object(
  {
    every: Type.String({ description: '1 day, 1 week, 1 month, …: periods that a report is about.' }),
    zone: Type.Optional(OrNull(Type.String({ description: 'Whose days. Default UTC.' }))),
    delay: Type.Optional(
      OrNull(Type.String({ description: 'It is asked this long after the end of a period.' })),
    ),
  },
  { additionalProperties: false },
)

/** What PUT /api/v1/reports/:name takes. */
export const ReportBody = Type.Object(
  {
    dataset: Type.String(),
    query: Type.Record(Type.String(), Type.Unknown(), {
      description: 'As for POST /api/v1/query, without the dataset; times may be relative.',
    }),
    title: Type.Optional(Type.String()),
    schedule: Type.Optional(OrNull(Schedule)),
    keep: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Answers that are kept.' })),
  },
  { $id: 'ReportBody', title: 'ReportBody', additionalProperties: false },
)

export const Report = Type.Object(
  {
    name: Type.String(),
    tenant: OrNull(Type.String()),
    title: Type.String(),
    dataset: Type.String(),
    query: Type.Record(Type.String(), Type.Unknown()),
    schedule: OrNull(Schedule),
    keep: Type.Integer(),
    createdBy: Type.String(),
    createdAt: Time,
    changedAt: Time,
    nextAt: OrNull(Time),
    failures: Type.Integer({ description: 'In a row.' }),
    lastError: OrNull(Type.String()),
  },
  { $id: 'Report', title: 'Report' },
)

export const ReportRun = Type.Object(
  {
    id: Type.String(),
    asOf: Type.String({ format: 'date-time', description: 'What "now" was for its range.' }),
    askedAt: Time,
    elapsedMs: Type.Integer(),
    rows: Type.Integer(),
  },
  { $id: 'ReportRun', title: 'ReportRun' },
)
