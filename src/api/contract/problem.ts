import Type from 'typebox'

/** RFC 9457 problem details; `code` is the error's name in docs/reference/errors.md. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'Where the error is explained.' }),
    title: Type.String({ description: 'When this error is raised, in one sentence.' }),
    status: Type.Integer(),
    detail: Type.String({ description: 'What was wrong, where, the value, the limit and the way out.' }),
    code: Type.String({ description: 'Stable code: tell errors apart by it.' }),
    retryable: Type.Boolean(),
    instance: Type.String({ description: 'Id of the request; the log of the server has it too.' }),
    params: Type.Optional(Type.Unknown({ description: 'What the detail was made from.' })),
  },
  { $id: 'Problem', title: 'Problem' },
)

/** What a problem of one code is. */
export const ProblemKind = Type.Object(
  {
    type: Type.String({ description: 'Of every problem of this kind.' }),
    code: Type.String(),
    status: Type.Integer(),
    retryable: Type.Boolean({ description: 'Whether the same call may succeed later.' }),
    title: Type.String({ description: 'When it is raised.' }),
    todo: Type.String({ description: 'What to do about it.' }),
  },
  { $id: 'ProblemKind', title: 'ProblemKind' },
)
