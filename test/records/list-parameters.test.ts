import { expect, it } from 'vitest'
import { readListParameters } from '../../src/records/index.ts'
import { t, table } from '../../src/schema/index.ts'

const things = table('app.things', {
  columns: {
    id: t.int4(),
    'a[b]': t.text(),
    'x,y': t.int4(),
    limit: t.int4(),
    flag: t.bool(),
    doc: t.jsonb().nullable(),
  },
  primaryKey: ['id'],
})
const read = (query: string) => readListParameters(things, new URLSearchParams(query))

it('a query string is a list in the query language', () => {
  expect(read('')).toEqual({})
  expect(
    read('id=1&sort=-id,flag&sort=x,y&fields=id,limit&limit=5&count=true&versions=false&cursor=c'),
  ).toEqual({
    where: { id: { eq: '1' } },
    sort: ['-id', 'flag', 'x,y'],
    fields: ['id', 'limit'],
    limit: 5,
    count: true,
    versions: false,
    cursor: 'c',
  })
  expect(read('id[in]=1,2&id[in]=3&id[gte]=0').where).toEqual({
    $and: [{ id: { in: ['1', '2', '3'] } }, { id: { gte: '0' } }],
  })
  expect(read('flag=true&doc[null]=false&doc.plan=pro').where).toEqual({
    $and: [{ flag: { eq: true } }, { doc: { not: null } }, { 'doc.plan': { eq: 'pro' } }],
  })
  expect(read('where={"$or":[{"limit":5},{"id":1}]}').where).toEqual({ $or: [{ limit: 5 }, { id: 1 }] })
})

it('names of columns that look like something else are those of columns', () => {
  expect(read('a[b]=x').where).toEqual({ 'a[b]': { eq: 'x' } })
  expect(read('a[b][in]=x,y&limit[gt]=3').where).toEqual({
    $and: [{ 'a[b]': { in: ['x,y'] } }, { limit: { gt: '3' } }],
  })
})

it.each([
  ['nope=1', 'nope'],
  ['id[nope]=1', 'id[nope]'],
  ['id=1&id=2', 'id'],
  ['count=1', 'count'],
  ['where={', 'where'],
  ['id.plan=1', 'id.plan'],
  ['toString=1', 'toString'],
])('%s is refused by its name', (query, path) => {
  expect(() => read(query)).toThrow(
    expect.objectContaining({ code: 'TM_QUERY', params: expect.objectContaining({ path }) }),
  )
})

it('a limit that is no number is shown as it was sent', () => {
  expect(() => read('limit=abc')).toThrow('limit: "abc" is not a whole number from 1 to 1000')
})
