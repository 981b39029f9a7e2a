// What somebody would write instead for the reads: Fastify and `pg` over a plain table with an index, statements prepared, keys in a map, the
// dashboard's numbers kept for five minutes whatever is written meanwhile.
import { createHash } from 'node:crypto'
import Fastify from 'fastify'
import pg from 'pg'

const { connectionString, keys } = JSON.parse(process.env.PLAIN_ORDERS)
/** The agency of each key, by the hash of the key. */
const agencies = new Map(keys.map(({ secret, agency }) => [hashOf(secret), agency]))
const pool = new pg.Pool({ connectionString, max: 10 })
// as int8 is read by most: a number
pg.types.setTypeParser(20, Number)

const statements = {
  view: `
    select checked_at, agency, project, keyword, position, url, stars from plain.rankings
    where agency = $1 and keyword = $2 and checked_at >= now() - interval '30 days' order by checked_at`,
  history: `
    select date_trunc('week', checked_at, 'UTC') as bucket, keyword, avg(position)::float8 as avg_position, min(position) as best
    from plain.rankings
    where agency = $1 and keyword = $2 and checked_at >= now() - interval '2 years' group by bucket, keyword order by bucket`,
  // days that begin in the range
  dashboard: `
    select date_trunc('day', checked_at, 'UTC') as bucket, agency, project, avg(position)::float8 as avg_position,
      count(*) filter (where position <= 10) as top_10, count(*) as checks
    from plain.rankings
    where agency = $1 and project = $2 and checked_at >= date_trunc('day', now() - interval '29 days', 'UTC')
    group by bucket, agency, project order by bucket`,
}
const ask = async (name, values) => (await pool.query({ name, text: statements[name], values })).rows

const keptMs = 300_000
const kept = new Map()

const app = Fastify()
app.decorateRequest('agency', null)
app.addHook('onRequest', async (request, reply) => {
  request.agency = agencies.get(hashOf(request.headers.authorization?.slice('Bearer '.length) ?? '')) ?? null
  if (request.agency === null) return reply.code(401).send({ error: 'who are you?' })
})
for (const name of ['view', 'history'])
  app.get(`/${name}`, async ({ agency, query }) => ({ rows: await ask(name, [agency, query.keyword]) }))
app.get('/dashboard', async ({ agency, query }, reply) => {
  const key = `${agency} ${query.project}`
  const found = kept.get(key)
  reply.type('application/json; charset=utf-8')
  if (found !== undefined && Date.now() - found.at < keptMs) return found.text
  const body = JSON.stringify({ rows: await ask('dashboard', [agency, query.project]) })
  kept.set(key, { at: Date.now(), text: body })
  return body
})

console.log(JSON.stringify({ address: await app.listen({ host: '127.0.0.1', port: 0 }) }))
process.once('SIGTERM', async () => {
  await app.close()
  await pool.end()
})

function hashOf(text) {
  return createHash('sha256').update(text).digest('base64')
}
