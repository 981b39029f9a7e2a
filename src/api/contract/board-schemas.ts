import Type from 'typebox'
import { panelCharts } from '../../boards/index.ts'

const Time = Type.String({ format: 'date-time' })
const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const strict = { additionalProperties: false }

const Panel = Type.Object(
  {
    id: Type.String({ description: 'Letters, digits, - and _; one of its kind on the board.' }),
    title: Type.String(),
    chart: Type.Union(panelCharts.map((chart) => Type.Literal(chart))),
    place: Type.Object(
      {
        x: Type.Integer({ minimum: 0, maximum: 11 }),
        y: Type.Integer({ minimum: 0 }),
        w: Type.Integer({ minimum: 1, maximum: 12 }),
        h: Type.Integer({ minimum: 1, maximum: 100 }),
      },
      { ...strict, description: 'In a grid of 12 columns.' },
    ),
    query: Type.Record(Type.String(), Type.Unknown(), {
      description:
        'As for POST /api/v1/query, without from, to and cursor; `bucket` may be "auto": some 200 of them, whatever the range.',
    }),
    compare: Type.Optional(Type.String({ description: '"previous", or how much earlier: "1 week".' })),
    unit: Type.Optional(Type.String()),
    note: Type.Optional(Type.String()),
  },
  { ...strict, title: 'Panel' },
)

const Document = Type.Object(
  {
    range: Type.Object(
      { from: Type.String({ examples: ['-7 days'] }), to: Type.Optional(Type.String()) },
      { ...strict, description: 'Of all panels.' },
    ),
    refresh: Type.Optional(Type.String({ description: '"live", "off" (default), or "30s".' })),
    panels: Type.Array(Panel, { maxItems: 60 }),
  },
  { ...strict, title: 'BoardDocument' },
)

/** What POST and PUT take, and what a file of the repository holds. */
export const BoardBody = Type.Object(
  { name: Type.String(), description: Type.Optional(OrNull(Type.String())), document: Document },
  { ...strict, $id: 'BoardBody', title: 'BoardBody' },
)

const summary = {
  id: Type.String(),
  name: Type.String(),
  description: OrNull(Type.String()),
  version: Type.Integer({ description: 'Grows with each change; If-Match names one.' }),
  source: Type.Union([Type.Literal('stored'), Type.Literal('file')]),
  updatedAt: Time,
  updatedBy: Type.String({ description: 'Key, subject or file.' }),
}

export const BoardSummaryAnswer = Type.Object(
  { ...summary, panels: Type.Integer({ description: 'How many.' }) },
  { $id: 'BoardSummary', title: 'BoardSummary' },
)

export const BoardAnswer = Type.Object({ ...summary, document: Document }, { $id: 'Board', title: 'Board' })

export const ShareBody = Type.Object(
  {
    expires: Type.Optional(
      Type.String({ description: 'A time, or how long from now. Default 7 days, a year at most.' }),
    ),
  },
  { ...strict, $id: 'ShareBody', title: 'ShareBody' },
)

const share = {
  id: Type.String(),
  createdAt: Time,
  createdBy: Type.String(),
  expiresAt: Time,
  ended: OrNull(
    Type.Union(
      ['expired', 'revoked', 'key ended'].map((reason) => Type.Literal(reason)),
      {
        description: 'Null: it is good.',
      },
    ),
  ),
  lastOpenedAt: OrNull(Type.String({ format: 'date-time', description: 'To the hour.' })),
}

export const ShareAnswer = Type.Object(share, { $id: 'Share', title: 'Share' })

export const IssuedShareAnswer = Type.Object(
  { ...share, token: Type.String({ description: 'It is told this once.' }), path: Type.String() },
  { $id: 'IssuedShare', title: 'IssuedShare' },
)

export const SharedBoardAnswer = Type.Object(
  { name: Type.String(), description: OrNull(Type.String()), expiresAt: Time, document: Document },
  { $id: 'SharedBoard', title: 'SharedBoard' },
)

export const SharedQuestionBody = Type.Object(
  {
    from: Type.Optional(Type.String({ description: 'Inside of the board’s range, which is the default.' })),
    to: Type.Optional(Type.String()),
    compare: Type.Optional(
      Type.Boolean({ description: 'The range that the panel compares with, in place of that.' }),
    ),
  },
  { ...strict, $id: 'SharedQuestion', title: 'SharedQuestion' },
)
