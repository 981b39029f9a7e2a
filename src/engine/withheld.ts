import type { TenantScope } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'

/**
 * What failed, as a tenant may hear it. What PostgreSQL and DuckDB say in their own words may hold a value of any row that they looked
 * at, and figures of the whole say how much others have; the cause keeps all of it for logs.
 */
export async function withholdOthers<T>(
  scope: TenantScope | undefined,
  work: Promise<T>,
  { looksAt }: { readonly looksAt: 'stored rows' | 'given rows' } = { looksAt: 'stored rows' },
): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (scope === undefined || scope.kind === 'all') throw error
    // of rows that he has given himself PostgreSQL may say everything
    const isHis = looksAt === 'given rows' && isTidemarkError(error) && error.code === 'TM_DATABASE'
    throw isHis ? error : withheld(error)
  }
}

const words = 'what it said is withheld, because it may tell of rows of other tenants'

function withheld(error: unknown): unknown {
  if (!isTidemarkError(error)) return error
  const options = { cause: error }
  switch (error.code) {
    case 'TM_DATABASE': {
      const { sqlstate } = (error as TidemarkError<'TM_DATABASE'>).params
      return new TidemarkError('TM_DATABASE', { sqlstate, problem: words }, options)
    }
    case 'TM_LAKE':
      return new TidemarkError(
        'TM_LAKE',
        { what: 'a file of the lake', problem: words, todo: 'ask whoever runs this server' },
        options,
      )
    case 'TM_OVERLOADED': {
      const { retryAfterSeconds, limit } = (error as TidemarkError<'TM_OVERLOADED'>).params
      const problem = 'there is no room for more rows now'
      return new TidemarkError('TM_OVERLOADED', { problem, limit, retryAfterSeconds }, options)
    }
    case 'TM_BUSY': {
      const { what, tries } = (error as TidemarkError<'TM_BUSY'>).params
      return new TidemarkError('TM_BUSY', { what, tries, lastProblem: words }, options)
    }
    default:
      return error
  }
}
