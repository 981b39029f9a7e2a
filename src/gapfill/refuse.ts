import { TidemarkError } from '../util/errors.ts'

export function refuse(problem: string, todo: string): never {
  throw new TidemarkError('TM_GAPFILL', { problem, todo })
}
