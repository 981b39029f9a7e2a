import type { FastifyRequest } from 'fastify'
import { TidemarkError } from '../../util/errors.ts'

/** What is of all tenants together is for nobody who is of one. @throws TidemarkError TM_FORBIDDEN */
export function assertOperator(request: FastifyRequest): void {
  if (request.principal.tenant.kind === 'all') return
  throw new TidemarkError('TM_FORBIDDEN', {
    what: `${request.routeOptions.url} is of all tenants together, and this key or token is of one`,
    todo: 'use one without a tenant',
  })
}

/** Whether somebody may hear of a dataset or a continuous aggregate, also of one that is declared no more. */
export function mayHearOf({ tm, principal }: FastifyRequest): (name: string) => boolean {
  if (principal.datasets === null) return () => true
  const names = new Set([...tm.datasets, ...tm.aggregates].map(({ name }) => name))
  return (name) => names.has(name)
}

/** A number of a query string. @throws TidemarkError TM_QUERY */
export function wholeOf(path: string, text: string, most: number): number {
  const value = Number(text)
  if (/^[1-9]\d*$/.test(text) && value <= most) return value
  throw new TidemarkError('TM_QUERY', { path, problem: `must be a whole number from 1 to ${most}` })
}
