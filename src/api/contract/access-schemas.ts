import Type from 'typebox'

const Scopes = Type.Array(Type.Union([Type.Literal('ingest'), Type.Literal('query'), Type.Literal('admin')]))
const nullable = (description: string) => Type.Union([Type.String(), Type.Null()], { description })
const Datasets = Type.Union([Type.Array(Type.String()), Type.Null()], {
  description: 'Names of datasets; null: every one.',
})

export const ApiKeyAnswer = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    scopes: Scopes,
    tenant: nullable('Whose rows; null with `allTenants`.'),
    allTenants: Type.Boolean(),
    datasets: Datasets,
    createdAt: Type.String(),
    createdBy: Type.String(),
    expiresAt: nullable('Null: never.'),
    lastUsedAt: nullable('Within a minute.'),
    revokedAt: nullable('Null: it was not.'),
    overlapUntil: nullable('Until when the secret before the newest goes on.'),
  },
  { $id: 'ApiKey', title: 'ApiKey' },
)

export const IssuedKeyAnswer = Type.Object(
  {
    key: ApiKeyAnswer,
    secret: Type.String({ description: 'What its user sends. It is told this once.' }),
  },
  { $id: 'IssuedKey', title: 'IssuedKey' },
)

export const NewKeyBody = Type.Object({
  name: Type.String(),
  scopes: Scopes,
  tenant: Type.Optional(Type.String({ description: 'Default: the caller’s own.' })),
  allTenants: Type.Optional(Type.Boolean()),
  datasets: Type.Optional(Type.Array(Type.String())),
  expires: Type.Optional(
    Type.String({ description: 'A time, or how long from now: "90 days". Default: never.' }),
  ),
})

export const RotationBody = Type.Object({
  overlap: Type.Optional(
    Type.String({ description: 'How long the secret before goes on; "0": not at all. Default "24 hours".' }),
  ),
})

export const PrincipalAnswer = Type.Object(
  {
    kind: Type.String({ description: 'key, token, session or anonymous.' }),
    id: Type.String(),
    name: Type.Union([Type.String(), Type.Null()]),
    tenant: nullable('Null with `allTenants`, and for whoever has none.'),
    allTenants: Type.Boolean(),
    scopes: Scopes,
    datasets: Datasets,
    expiresAt: nullable('Of what was shown; null: never.'),
  },
  { $id: 'Principal', title: 'Principal' },
)

export const AuditAnswer = Type.Object(
  {
    entries: Type.Array(
      Type.Object({
        id: Type.String(),
        at: Type.String(),
        actorKind: Type.String(),
        actor: Type.String(),
        tenant: nullable('Of the actor.'),
        act: Type.String(),
        subject: nullable('What it was done to.'),
        outcome: Type.String({ description: 'done, refused or failed.' }),
        detail: Type.Unknown(),
        requestId: nullable('Also in the log of the server.'),
        address: nullable('Where it came from.'),
      }),
    ),
    next: nullable('`before` of the next page; null: there is none.'),
  },
  { $id: 'AuditEntries', title: 'AuditEntries' },
)

export const TicketAnswer = Type.Object(
  {
    ticket: Type.String({ description: 'Opens one WebSocket or event stream: `?ticket=`.' }),
    expiresAt: Type.String(),
  },
  { $id: 'Ticket', title: 'Ticket' },
)

export const SessionAnswer = Type.Object({ expiresAt: Type.String() }, { $id: 'Session', title: 'Session' })
