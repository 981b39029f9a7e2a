import Type from 'typebox'

export const Liveness = Type.Object(
  { status: Type.Literal('ok'), version: Type.String(), uptimeMs: Type.Integer() },
  { $id: 'Liveness', title: 'Liveness' },
)

export const Readiness = Type.Object(
  {
    status: Type.Union([Type.Literal('ready'), Type.Literal('not ready')]),
    checks: Type.Array(
      Type.Object({
        check: Type.String({ examples: ['database', 'catalog', 'datasets', 'spool'] }),
        ok: Type.Boolean(),
        problem: Type.Union([Type.String(), Type.Null()]),
        todo: Type.Union([Type.String(), Type.Null()], { description: 'What to do where it is not.' }),
      }),
    ),
  },
  { $id: 'Readiness', title: 'Readiness' },
)

const nullable = { text: Type.Union([Type.String(), Type.Null()]) }

export const SlowQueryList = Type.Object(
  {
    thresholdMs: Type.Union([Type.Number(), Type.Null()]),
    queries: Type.Array(
      Type.Object({
        at: Type.String({ description: 'ISO 8601.' }),
        kind: Type.String({ description: '`query`, or the kind of a question about events.' }),
        dataset: Type.String(),
        ms: Type.Number(),
        outcome: Type.String({ description: '`ok`, or the code of the error.' }),
        rows: Type.Union([Type.Integer(), Type.Null()]),
        query: Type.Unknown({ description: 'Its shape, with `?` for values.' }),
        plan: Type.Unknown({ description: 'Parts and reasons; null where it failed.' }),
        request: nullable.text,
        principal: nullable.text,
      }),
    ),
  },
  { $id: 'SlowQueryList', title: 'SlowQueryList' },
)
