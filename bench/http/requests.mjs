// What a page asks, of Tidemark and of the plain server: the same question to both.

/** @typedef {{ method: string, path: string, body?: string, status: number, of?: (status: number, headers: object) => string }} Asked */

const records = '/api/v1/datasets'
const query = (body) => ({ method: 'POST', path: '/api/v1/query', body: JSON.stringify(body), status: 200 })

/** Reads; each is asked with the keyword and the project that somebody looks at. */
export const questions = {
  view: {
    tidemark: ({ keyword }) => query({ dataset: 'rankings', from: '-30 days', where: { keyword } }),
    plain: ({ keyword }) => ({ method: 'GET', path: `/view?keyword=${keyword}`, status: 200 }),
  },
  dashboard: {
    tidemark: ({ project }) =>
      query({ dataset: 'daily_project_stats', from: '-30 days', where: { project }, cache: 'dashboard' }),
    plain: ({ project }) => ({ method: 'GET', path: `/dashboard?project=${project}`, status: 200 }),
  },
  history: {
    tidemark: ({ keyword }) =>
      query({
        ...{ dataset: 'rankings', from: '-2 years', bucket: '1 week', by: ['keyword'], where: { keyword } },
        select: { avg_position: { fn: 'avg', column: 'position' }, best: { fn: 'min', column: 'position' } },
      }),
    plain: ({ keyword }) => ({ method: 'GET', path: `/history?keyword=${keyword}`, status: 200 }),
  },
}

/** Writes of rows by their key. */
export const changes = {
  add: ({ id, project }) => ({
    method: 'POST',
    path: `${records}/keywords/records`,
    body: JSON.stringify({ id, project, phrase: `how to find ${id}`, tags: ['new'] }),
    status: 201,
  }),
  update: ({ agency, keyword, n }) => ({
    method: 'PATCH',
    path: `${records}/keywords/records/${agency},${keyword}`,
    body: JSON.stringify({ tags: ['seen', `at ${n}`], active: n % 2 === 0 }),
    status: 200,
  }),
  remove: ({ agency, id }) => ({
    method: 'DELETE',
    path: `${records}/keywords/records/${agency},${id}`,
    status: 204,
  }),
  settings: ({ agency, project, run, n }) => ({
    method: 'PATCH',
    path: `${records}/projects/records/${agency},${project}`,
    body: JSON.stringify({ settings: { run, seen: n } }),
    status: 200,
  }),
  ranking: ({ project, keyword, n, nowMs }) => ({
    method: 'POST',
    path: `${records}/rankings/rows`,
    // two of one millisecond are two
    body: JSON.stringify([
      {
        checked_at: `${new Date(nowMs).toISOString().slice(0, -1)}${String(n % 1000).padStart(3, '0')}Z`,
        ...{ project, keyword, position: 1 + (n % 100), url: `https://live.example/${n}`, stars: n },
      },
    ]),
    status: 201,
  }),
  import: ({ body }) => ({ method: 'POST', path: `${records}/keywords/bulk`, body, status: 200 }),
}

/** The body of an import of keywords of a project that is new. */
export function importBody(project, count) {
  const rows = Array.from({ length: count }, (_, i) => ({
    ...{ id: `${project}-${i}`, project, phrase: `${['best', 'cheap', 'how to'][i % 3]} phrase ${i}` },
    ...{ country: ['us', 'de', 'jp'][i % 3], tags: i % 2 === 0 ? ['imported'] : null },
  }))
  return JSON.stringify({ op: 'create', rows })
}
